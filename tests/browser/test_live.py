"""The live page in a real browser with a fake microphone, on the real service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect
from tests.browser.studio import Studio
from tests.support.live import decoded
from tests.support.running_service import RunningService

LONG = 60_000
"""Milliseconds."""
SHOWN = "() => document.getElementById('video').currentTime > 0.5"


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    context.grant_permissions(["microphone"])
    page = context.new_page()
    yield page
    page.close()


def test_one_click_then_text_microphone_and_the_end(
    page: Page, service: RunningService, source_image: Path
) -> None:
    studio = Studio(page)
    page.goto(f"{service.url}/")
    page.get_by_role("link", name="Live").click()
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    page.get_by_label("Upload a picture").set_input_files(source_image)
    page.get_by_label("Record it as a video").check()
    page.get_by_role("button", name="Start").click(timeout=LONG)
    state = page.locator("#state")
    expect(state).to_have_text("Live", timeout=LONG)
    page.wait_for_function(SHOWN, timeout=LONG)
    assert Axe().run(page).response["violations"] == []
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_label("What it should say").fill("Hello. I am here.")
    page.get_by_role("button", name="Say it").click()
    expect(state).to_have_text("Speaking", timeout=LONG)
    expect(page.locator("#latency")).to_contain_text("s behind the voice")
    page.get_by_role("button", name="Interrupt").click()
    expect(state).to_have_text("Live", timeout=LONG)
    # the fake microphone beeps
    page.get_by_label("It speaks with my voice").check()
    expect(state).to_have_text("Speaking", timeout=LONG)
    page.wait_for_function("() => document.getElementById('level').value > 0", timeout=LONG)
    page.get_by_label("It listens to me").check()
    expect(state).to_have_text("Live", timeout=LONG)
    page.wait_for_function("() => document.getElementById('level').value > 0", timeout=LONG)
    behind = page.evaluate(
        "(() => { const v = document.getElementById('video'); return v.buffered.end(0) - v.currentTime; })()"
    )
    assert behind < 2
    page.get_by_role("button", name="End").click()
    expect(state).to_have_text("Ended", timeout=LONG)
    expect(page.locator("#problem")).to_be_empty()
    link = page.get_by_role("link", name="Download the recording")
    expect(link).to_be_visible(timeout=LONG)
    with page.expect_download() as download:
        link.click()
    pictures, sound = decoded(download.value.path().read_bytes())
    assert len(pictures) > 25
    assert np.abs(sound).max() > 0.05
    page.get_by_label("Record it as a video").uncheck()
    # the slot is free again
    page.get_by_role("button", name="Start").click()
    expect(state).to_have_text("Live", timeout=LONG)
    # and taken: another visitor is told so
    other = page.context.new_page()
    other.goto(f"{service.url}/studio/live.html")
    other.get_by_label("Face 1").check(force=True)
    other.get_by_role("button", name="Start").click()
    expect(other.locator("#problem")).to_contain_text("is taken", timeout=LONG)
    other.close()
    assert studio.faults == []


def test_killed_process_is_explained(page: Page, service: RunningService) -> None:
    page.goto(f"{service.url}/studio/live.html")
    page.get_by_label("Face 1").check(force=True)
    # the slot of the test before is freed soon after its page has gone
    for _ in range(100):
        page.get_by_role("button", name="Start").click()
        page.wait_for_function(
            "() => document.getElementById('start').hidden || document.getElementById('problem').textContent"
        )
        if not page.get_by_role("button", name="Start").is_visible():
            break
        page.wait_for_timeout(200)
    expect(page.locator("#state")).to_have_text("Live", timeout=LONG)
    service.kill("live")
    expect(page.locator("#problem")).to_contain_text("Press Start to go on.", timeout=LONG)
    expect(page.get_by_role("button", name="Start")).to_be_enabled()
