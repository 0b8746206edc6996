"""The studio as a first visitor uses it: the example, a text to speak, gestures, captions, kept videos."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image, ImageChops
from playwright.sync_api import BrowserContext, Response, expect
from tests.browser.conftest import opened
from tests.browser.studio import Studio
from tests.support.running_service import RunningService

PHONE = {"width": 390, "height": 844}
MOST_BYTES = 250_000
"""Of the page on its first visit, without media."""
_MEDIA = ("image/png", "image/jpeg", "audio/", "video/")


@pytest.fixture
def visit(context: BrowserContext, service: RunningService) -> Iterator[Studio]:
    """The page of the service with the mesh engine. Not a single line of its console may be an error."""
    page = context.new_page()
    lines: list[str] = []
    page.on("console", lambda line: lines.append(line.text) if line.type in {"error", "warning"} else None)
    studio = opened(page, service.url)
    page.locator("#voice option").first.wait_for(state="attached")
    yield studio
    assert studio.faults == []
    assert lines == []


def accessible(studio: Studio) -> list[tuple[str, Any]]:
    """What axe-core objects to."""
    found = Axe().run(studio.page).response["violations"]
    return [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found]


def write(studio: Studio, text: str) -> None:
    studio.page.get_by_label("Text to speak").fill(text)


def test_example_becomes_a_video_on_a_phone(
    context: BrowserContext, service: RunningService, tmp_path: Path
) -> None:
    page = context.new_page()
    page.set_viewport_size(PHONE)
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108  playwright marks its listeners
    studio = opened(page, service.url)
    page.locator("#voice option").first.wait_for(state="attached")
    page.wait_for_load_state("networkidle")
    weight = sum(len(a.body()) for a in answers if not a.headers["content-type"].startswith(_MEDIA))
    assert 20_000 < weight < MOST_BYTES
    assert accessible(studio) == []
    page.get_by_role("button", name="Try it with an example").click()
    page.get_by_text("face found").wait_for()
    expect(page.locator("#state")).to_have_text("Ready to generate.")
    write(studio, "Hello, this is me.")
    studio.generate()
    expect(page.locator("#film")).to_be_focused()
    studio.wait_ready()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    # it is kept: with a poster, and the same file
    kept = page.locator("#videos-list li")
    expect(kept).to_have_count(1)
    expect(kept.locator("img")).to_be_visible()
    assert kept.locator("img").evaluate("image => image.naturalWidth") == 240
    assert accessible(studio) == []
    with page.expect_download() as download:
        kept.get_by_role("link", name="Download: Hello, this is me.").click()
    assert download.value.suggested_filename == "hello-this-is-me.mp4"
    with av.open(str(download.value.path())) as container:
        assert container.streams.video[0].height == 512
        assert container.streams.audio
    # and outlives the session of the page
    page.goto(f"{service.url}/")
    kept.get_by_role("button", name="Play: Hello, this is me.").click()
    studio.watch_until("video.currentSrc.startsWith('blob:') && video.currentTime > 0.1")
    expect(page.locator("#state")).to_contain_text("Hello, this is me.")
    page.on("dialog", lambda dialog: dialog.accept())
    kept.get_by_role("button", name="Delete: Hello, this is me.").click()
    expect(page.locator("#videos")).to_be_hidden()
    page.reload()
    expect(page.locator("#health-text")).to_have_text("Ready")
    expect(kept).to_have_count(0)
    assert studio.faults == []


def test_text_is_heard_tweaked_after_a_reload_and_shared(
    context: BrowserContext, visit: Studio, service: RunningService, source_image: Path
) -> None:
    page = visit.page
    visit.choose(source_image)
    expect(page.locator("#state")).to_have_text("Next, write what the face shall say.")
    write(visit, "Good morning.")
    page.get_by_label("Voice", exact=True).select_option("bf_emma")
    page.get_by_label("Speed").fill("1.2")
    page.get_by_role("button", name="Listen to the text").click()
    heard = re.compile(r"Loudness of the text · 0:0[12]")
    expect(page.locator("#wave")).to_have_attribute("aria-label", heard, timeout=30_000)
    page.reload()
    expect(page.get_by_label("Voice", exact=True)).to_have_value("bf_emma")
    expect(page.get_by_label("Text to speak")).to_have_value("Good morning.")
    expect(page.locator("#rate-shown")).to_have_text("1.2×")
    page.get_by_text("face found").wait_for()
    page.get_by_label("Still").check(force=True)
    with page.expect_response("**/generate") as answered:
        visit.generate()
    settings = answered.value.json()["settings"]
    assert (settings["voice"], settings["rate"], settings["still_mode"]) == ("bf_emma", 1.2, True)
    visit.wait_ready()
    # captions over the video
    captions = page.get_by_role("button", name="Captions")
    captions.click()
    expect(captions).to_have_attribute("aria-pressed", "true")
    track = "video.textTracks[0].mode === 'showing' && video.textTracks[0]"
    cue = page.wait_for_function(f"{track} && {track}.cues.length && {track}.cues[0].text")
    assert cue.json_value() == "Good morning."
    # the link opens the video elsewhere
    page.get_by_role("button", name="Share link").click()
    expect(page.get_by_role("button", name="Link copied")).to_be_visible()
    other = Studio(context.new_page())
    other.page.goto(page.evaluate("navigator.clipboard.readText()"))
    other.wait_ready()
    other.watch_until("video.currentTime > 0.1")
    assert other.page.locator("#videos-list li").count() == 1  # the one of this browser, not a second one


def test_gestures_are_placed_on_the_waveform(visit: Studio, source_image: Path, short_speech: Path) -> None:
    page = visit.page
    expect(page.locator("#gesture-bar")).to_be_hidden()  # nothing is said yet
    visit.choose(source_image, short_speech)
    page.get_by_role("button", name="Add Nod").click()
    nod = page.get_by_role("slider", name="Nod")
    expect(nod).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    expect(nod).to_have_attribute("aria-valuetext", "at 1.6 seconds")
    page.get_by_role("button", name="Add Smile").click()
    smile = page.get_by_role("slider", name="Smile")
    strip, box = page.locator("#markers").bounding_box(), smile.bounding_box()
    assert strip
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(strip["x"] + 0.75 * strip["width"], box["y"] + 10, steps=3)
    page.mouse.up()
    expect(smile).to_have_attribute("aria-valuetext", "at 3.0 seconds")
    page.get_by_role("button", name="Add Blink").click()
    expect(page.locator("#gesture-tip")).to_contain_text("Blink at")
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator(".marker")).to_have_count(2)
    assert accessible(visit) == []
    nod.focus()
    page.keyboard.press("Delete")
    with page.expect_response("**/generate") as answered:
        visit.generate()
    placed = answered.value.json()["settings"]["gestures"]
    assert [one["name"] for one in placed] == ["smile"]
    assert placed[0]["at"] == pytest.approx(3.0, abs=0.05)
    visit.wait_ready()


def test_movement_is_previewed(visit: Studio) -> None:
    preview = visit.page.locator("#pose-preview")
    preview.scroll_into_view_if_needed()

    def picture() -> Image.Image:
        return Image.open(io.BytesIO(preview.screenshot())).convert("L")

    first = picture()
    assert first.getextrema()[1] > 100  # something is drawn
    visit.page.get_by_role("button", name="Next movement").click()
    assert visit.page.locator("#pose_style").input_value() == "1"
    changed = ImageChops.difference(first, picture()).getbbox()
    assert changed is not None
    visit.page.get_by_label("Still").check(force=True)
    expect(preview).to_be_hidden()


def test_picture_with_the_name_of_a_sound_is_refused_at_once(
    visit: Studio, source_image: Path, tmp_path: Path
) -> None:
    disguised = tmp_path / "voice.wav"
    disguised.write_bytes(source_image.read_bytes())
    visit.page.set_input_files("#audio_file", disguised)
    expect(visit.page.locator("#audio-problem")).to_contain_text("voice.wav has no audio")
    expect(visit.page.locator("#listen")).to_be_hidden()


def test_face_of_the_page_has_no_jargon(visit: Studio) -> None:
    words = visit.page.locator("main").inner_text().lower()
    for word in ("lane", "vip", "real-time", "cache", "seed", "driven audio", "@seconds", "curl", "extfull"):
        assert word not in words, word


def test_sample_of_a_voice_is_played_and_stopped(visit: Studio) -> None:
    sample = visit.page.get_by_role("button", name="Hear a sample of this voice")
    with visit.page.expect_response("**/api/voices/*/sample") as answered:
        sample.click()
    assert answered.value.headers["content-type"] == "audio/mpeg"
    expect(sample).to_have_text("Stop")
    sample.click()
    expect(sample).to_have_text("Sample")


def test_voices_are_grouped_by_language(visit: Studio) -> None:
    groups = visit.page.locator("#voice optgroup").evaluate_all(
        "groups => groups.map((group) => group.label)"
    )
    assert groups[:2] == ["English (United States)", "English (United Kingdom)"]
    assert len(groups) == len(set(groups))
