"""Situations that confuse first-time users of the studio."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, expect
from tests.browser.conftest import opened
from tests.browser.studio import Studio
from tests.support.pattern_engine import SLOW
from tests.support.running_service import RunningService

PHONE = {"width": 390, "height": 844}
A_WHILE = SLOW + 120
"""Seed of a video that takes several seconds."""
IN_VIEW = """element => {
  const { top, bottom } = element.getBoundingClientRect();
  return top >= -1 && bottom <= window.innerHeight + 1;
}"""


def options_of_the_page(studio: Studio) -> dict[str, str]:
    values: dict[str, str] = studio.page.evaluate(
        "Object.fromEntries(new FormData(document.getElementById('request')))"
    )
    return values


def test_on_a_phone_generate_scrolls_to_the_video_progress_and_cancel(
    studio: Studio, source_image: Path, speech: Path
) -> None:
    page = studio.page
    page.set_viewport_size(PHONE)
    studio.choose(source_image, speech)
    studio.set_seed(A_WHILE)
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    assert not page.locator("#film").evaluate(IN_VIEW)
    studio.generate()
    cancel = page.get_by_role("button", name="Cancel")
    expect(cancel).to_be_visible()
    for part in ("#stage", "#progress", "#cancel"):
        assert page.locator(part).evaluate(IN_VIEW), part
    cancel.click()
    expect(page.locator("#state")).to_have_text("Cancelled. Nothing was kept.")


def test_focus_stays_on_the_page_after_generate_and_cancel(
    studio: Studio, source_image: Path, speech: Path
) -> None:
    page = studio.page
    studio.choose(source_image, speech)
    studio.set_seed(A_WHILE + 1)
    page.get_by_role("button", name="Generate").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#film")).to_be_focused()
    cancel = page.get_by_role("button", name="Cancel")
    cancel.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("Cancelled. Nothing was kept.")
    expect(page.locator("#film")).to_be_focused()


def test_wrong_kind_of_file_is_refused_at_once(studio: Studio, source_image: Path, speech: Path) -> None:
    page = studio.page
    studio.choose(source_image)
    page.set_input_files("#audio_file", source_image)
    expect(page.locator("#audio-problem")).to_contain_text("portrait.jpg has no audio")
    expect(page.locator("#state")).to_have_text("Next, choose or record the speech.")
    page.set_input_files("#image_file", speech)
    expect(page.locator("#image-problem")).to_contain_text("speech.wav is not an image")
    expect(page.locator("#image-what")).to_contain_text("portrait.jpg")
    page.set_input_files("#audio_file", speech)
    expect(page.locator("#audio-problem")).to_be_empty()
    expect(page.locator("#state")).to_have_text("Ready to generate.")


def test_video_can_still_be_downloaded_after_a_refused_request(
    studio: Studio, source_image: Path, speech: Path, short_speech: Path
) -> None:
    page = studio.page
    studio.choose(source_image, speech)
    studio.set_seed(11)
    studio.generate()
    studio.wait_ready()
    page.locator("#pose_style").fill("99")
    studio.generate()
    expect(page.locator("#caption")).to_have_attribute("data-state", "failed")
    expect(page.locator("video")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download", exact=True).click()
    assert b"ftyp" in download.value.path().read_bytes()[:12]
    page.set_input_files("#audio_file", short_speech)  # this starts a different request
    expect(page.get_by_role("link", name="Download", exact=True)).to_be_hidden()


def test_inputs_and_options_survive_a_reload(studio: Studio, source_image: Path, speech: Path) -> None:
    page = studio.page
    studio.choose(source_image, speech)
    studio.set_seed(12)
    page.get_by_label("Still").check(force=True)
    page.get_by_label("480").check(force=True)
    studio.generate()
    studio.wait_ready()
    before, address = options_of_the_page(studio), page.url
    page.reload()
    studio.wait_ready()
    page.locator("#voice option").first.wait_for(state="attached")
    expect(page.locator("#image-what")).to_contain_text("portrait.jpg")
    expect(page.locator("#audio-what")).to_contain_text("speech.wav")
    page.get_by_text("face found").wait_for()
    assert options_of_the_page(studio) == before
    assert (before["seed"], before["still"], before["quality"]) == ("12", "true", "low")
    studio.set_seed(13)
    studio.generate()
    studio.watch_until("location.hash !== '' && video.currentTime > 0")
    studio.wait_ready()
    assert page.url != address


def test_inputs_are_not_shared_with_another_tab(
    context: BrowserContext, studio: Studio, paced: RunningService, source_image: Path, speech: Path
) -> None:
    studio.choose(source_image, speech)
    other = opened(context.new_page(), paced.url)
    expect(other.page.locator("#health-text")).to_have_text("Ready")
    expect(other.page.locator("#audio-what")).to_have_text("Audio or video, up to 10 minutes")
    assert other.faults == []


def test_enhancers_that_the_engine_lacks_are_not_offered(studio: Studio, paced: RunningService) -> None:
    engine = httpx.get(f"{paced.url}/", headers={"Accept": "application/json"}).json()["engine"]
    assert engine["enhancers"] == []
    expect(studio.page.locator("#enhancer option")).to_have_count(1)
    studio.show_more()
    expect(studio.page.get_by_label("Variation")).to_be_visible()
    expect(studio.page.get_by_label("Face enhancer")).to_be_hidden()


def test_clicking_the_audio_strip_opens_the_file_chooser(studio: Studio, speech: Path) -> None:
    with studio.page.expect_file_chooser() as chooser:
        studio.page.locator("#strip").click()
    chooser.value.set_files(speech)
    expect(studio.page.locator("#audio-what")).to_contain_text("speech.wav · 0:10")


def test_shell_commands_are_shown_on_request(studio: Studio) -> None:
    expect(studio.page.locator("#command")).to_be_hidden()
    studio.show_commands()
    expect(studio.page.locator("#command")).to_contain_text("curl")


def test_defaults_of_the_page_are_those_of_the_api(studio: Studio, paced: RunningService) -> None:
    document = httpx.get(f"{paced.url}/openapi.json").raise_for_status().json()
    form = document["paths"]["/api/{lane}/generate"]["post"]["requestBody"]["content"]["multipart/form-data"]
    fields = form["schema"]["properties"]
    page = options_of_the_page(studio)
    for name in ("preprocess_mode", "quality", "still", "captions", "expression_scale", "pose_style", "seed"):
        default = fields[name].get("default", "")  # a seed is derived if none is given
        assert page[name].lower() == f"{default}".lower().removesuffix(".0"), name


def test_lower_height_than_requested_is_explained_in_full(
    context: BrowserContext, service: RunningService, source_image: Path, short_speech: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small.png"
    Image.open(source_image).resize((400, 400)).save(small)
    studio = opened(context.new_page(), service.url)
    studio.choose(small, short_speech)
    expect(studio.page.locator("#height-note")).to_contain_text("This image gives 400 pixels")
    studio.generate()
    studio.wait_ready()
    session = studio.page.url.rpartition("/")[2]
    warnings = httpx.get(f"{service.url}/api/standard/status/{session}").json()["warnings"]
    assert any("400 pixels high, not the 720" in warning for warning in warnings)
    assert studio.page.locator("#warnings li").all_inner_texts() == warnings
    studio.page.reload()
    studio.wait_ready()
    assert studio.page.locator("#warnings li").all_inner_texts() == warnings


@pytest.mark.parametrize("width", [340, 390, 1280])
def test_page_never_scrolls_sideways(studio: Studio, width: int) -> None:
    studio.page.set_viewport_size({"width": width, "height": 844})
    studio.show_commands()
    assert studio.page.evaluate("document.documentElement.scrollWidth") <= width
