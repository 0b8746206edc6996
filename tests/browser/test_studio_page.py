"""API keys, layout, contrast and accessible names of the studio page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect
from tests.browser.conftest import opened, running
from tests.browser.studio import Studio
from tests.support.running_service import PATTERN_ENGINE, RunningService

A_WORD = re.compile(r"\w+")
KEY = "a-key-of-the-tests"
FAINT_WORDS = """() => {
  const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const light = (colour) => {
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b] = Array.from(pen.getImageData(0, 0, 1, 1).data.slice(0, 3), (value) =>
      value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return colour === "rgba(0, 0, 0, 0)" ? ground(element.parentElement) : colour;
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const words = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!words || !element.checkVisibility({ visibilityProperty: true })) continue;
    const [one, other] = [light(getComputedStyle(element).color), light(ground(element))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) faint.push([element.tagName, element.textContent.trim(), contrast]);
  }
  return faint;
}"""
"""Script that finds text with a contrast under 4.5 to its background (WCAG 2.2, 1.4.3)."""


@pytest.fixture(scope="module")
def guarded() -> Iterator[RunningService]:
    """A service that requires an API key."""
    keys = json.dumps([{"name": "tests", "key": KEY}])
    with running({**PATTERN_ENGINE, "API_KEYS": keys}) as service:
        yield service


def test_page_asks_for_the_key_and_works_with_it(
    context: BrowserContext, guarded: RunningService, source_image: Path, speech: Path
) -> None:
    studio = opened(context.new_page(), guarded.url)
    field = studio.page.get_by_label("API key")
    expect(field).to_be_focused()
    field.fill("a wrong one")
    studio.page.keyboard.press("Enter")
    expect(studio.page.locator("#key-problem")).to_contain_text("This API key is unknown.")
    field.fill(KEY)
    studio.page.keyboard.press("Enter")
    expect(field).to_be_hidden()
    studio.page.set_input_files("#image_file", source_image)
    studio.page.set_input_files("#audio_file", speech)
    studio.generate()
    studio.wait_ready()
    state = studio.watch_until("video.currentTime > 0.2")
    assert state["error"] is None
    with studio.page.expect_download() as download:
        studio.page.get_by_role("link", name="Download", exact=True).click()
    assert b"ftyp" in download.value.path().read_bytes()[:12]
    assert "$API_KEY" in (studio.page.locator("#command").text_content() or "")
    assert studio.faults == []


def test_page_with_all_options_fits_its_window(studio: Studio) -> None:
    studio.page.get_by_text("More", exact=True).click()
    for width in (340, 620, 800, 940, 1440):
        studio.page.set_viewport_size({"width": width, "height": 800})
        assert studio.page.evaluate("document.documentElement.scrollWidth") <= width


def test_text_has_enough_contrast_in_light_and_dark_mode(studio: Studio) -> None:
    for scheme in ("light", "dark"):
        studio.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        faint = studio.page.evaluate(FAINT_WORDS)
        assert faint == [], scheme


def test_every_control_has_a_name(studio: Studio) -> None:
    studio.page.get_by_text("More", exact=True).click()
    for role in ("button", "link", "radio", "combobox", "slider", "spinbutton", "textbox"):
        for control in studio.page.get_by_role(role).all():
            expect(control).to_have_accessible_name(A_WORD)


def test_unreachable_service_is_reported_beside_the_field(studio: Studio, source_image: Path) -> None:
    studio.page.route("**/api/**", lambda route: route.abort())
    studio.page.set_input_files("#image_file", source_image)
    expect(studio.page.locator("#image-problem")).to_have_text("The service does not answer. Is it running?")
