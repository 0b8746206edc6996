"""The studio in a real browser with the real service: from two files to a video that plays."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps
from playwright.sync_api import Browser, BrowserContext, expect
from tests.browser.conftest import opened
from tests.browser.studio import GRID, Studio
from tests.support import source_images as make
from tests.support.pattern_engine import SLOW
from tests.support.running_service import RunningService

WATCHABLE = SLOW + 150
"""Seed of a video that takes six seconds (53 frames per second)."""
SLOWER_THAN_TIME = SLOW + 450
"""Seed of a video that is rendered at 18 frames per second and played at 25."""
WITHOUT_MEDIA_SOURCE = "delete window.MediaSource; delete window.ManagedMediaSource;"


def test_video_is_made_and_can_be_downloaded(
    context: BrowserContext, service: RunningService, source_image: Path, speech: Path, tmp_path: Path
) -> None:
    studio = opened(context.new_page(), service.url)
    studio.choose(source_image, speech)
    studio.generate()
    live = studio.watch_until("video.currentTime > 0.3")
    assert (live["videoWidth"], live["videoHeight"]) == (512, 512)
    studio.wait_ready()
    expect(studio.page.locator("#state")).to_contain_text("512 × 512")
    assert re.match(r"Made in [\d.]+ m?s ·", studio.page.locator("#state").inner_text())
    with studio.page.expect_download() as download:
        studio.page.get_by_role("link", name="Download", exact=True).click()
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    assert saved.name == "speech.mp4"
    with av.open(str(saved)) as container:
        assert sum(1 for _ in container.decode(video=0)) == pytest.approx(25 * live["duration"], abs=2)
    assert studio.faults == []


def test_video_plays_live_and_then_from_the_file(studio: Studio, source_image: Path, speech: Path) -> None:
    studio.choose(source_image, speech)
    studio.set_seed(WATCHABLE)
    studio.generate()
    live = studio.watch_until("video.currentTime > 0.3")
    assert live["busy"], "it started to play after it was finished"
    assert live["currentSrc"].startswith("blob:")
    assert live["videoWidth"] == 512
    later = studio.watch_until(f"video.currentTime > {live['currentTime'] + 0.5}")
    assert later["busy"]
    assert later["error"] is None
    studio.wait_ready()
    studio.watch_until("video.seekable.length && video.seekable.end(0) > 10")
    studio.page.evaluate("video.currentTime = video.duration - 0.5")
    finished = studio.watch_until("video.currentSrc.includes('/download/') && video.readyState >= 2")
    assert finished["error"] is None
    assert finished["duration"] == pytest.approx(live["duration"], abs=0.1)
    studio.page.evaluate("video.play()")
    studio.watch_until("video.currentTime > 0.5")


def test_video_plays_live_without_media_sources(
    context: BrowserContext, paced: RunningService, source_image: Path, speech: Path
) -> None:
    context.add_init_script(WITHOUT_MEDIA_SOURCE)
    studio = opened(context.new_page(), paced.url)
    studio.choose(source_image, speech)
    studio.set_seed(WATCHABLE + 1)
    studio.generate()
    live = studio.watch_until("video.currentTime > 0.1")
    assert live["busy"], "it started to play after it was finished"
    assert "/stream/" in live["currentSrc"]
    assert live["videoWidth"] == 512
    assert live["error"] is None
    studio.wait_ready()
    assert studio.faults == []


def test_slowly_rendered_video_starts_late_and_plays_without_a_halt(
    studio: Studio, source_image: Path, short_speech: Path
) -> None:
    studio.choose(source_image, short_speech)
    studio.set_seed(SLOWER_THAN_TIME)
    studio.page.evaluate("video.addEventListener('waiting', () => (window.halts = (window.halts ?? 0) + 1))")
    studio.generate()
    begun = studio.watch_until("!video.paused && video.currentTime > 0")
    assert begun["busy"], "it started to play after it was finished"
    studio.watch_until("video.ended || video.currentSrc.includes('/download/')")
    assert studio.page.evaluate("window.halts ?? 0") <= 1


def test_repeated_request_shows_the_finished_video_at_once(
    studio: Studio, source_image: Path, speech: Path
) -> None:
    studio.choose(source_image, speech)
    studio.generate()
    studio.wait_ready()
    studio.page.reload()
    studio.watch_until("video.currentSrc.includes('/download/') && video.videoWidth === 512")
    studio.choose(source_image, speech)
    studio.generate()
    state = studio.watch_until("video.currentSrc.includes('/download/') && video.currentTime > 0.2")
    assert state["error"] is None
    expect(studio.page.locator("#state")).to_contain_text(re.compile(r"Made in \d+ ms"))


def test_image_without_a_face_is_refused_beside_the_field(
    context: BrowserContext, service: RunningService, speech: Path, tmp_path: Path
) -> None:
    studio = opened(context.new_page(), service.url)
    Image.linear_gradient("L").convert("RGB").resize((640, 480)).save(tmp_path / "wall.png")
    studio.choose(speech=speech)
    studio.page.set_input_files("#image_file", tmp_path / "wall.png")
    problem = studio.page.locator("#image-problem")
    expect(problem).to_contain_text("No face was found")
    field = studio.page.locator("#image_file")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description("wall.png · 640 × 480 " + problem.inner_text())
    studio.generate()
    expect(studio.page.locator("#caption")).to_have_attribute("data-state", "failed")
    expect(problem).to_contain_text("No face was found")


def test_wrong_option_is_marked_and_can_be_corrected(
    studio: Studio, source_image: Path, speech: Path
) -> None:
    studio.choose(source_image, speech)
    studio.page.locator("#pose_style").fill("99")
    studio.generate()
    expect(studio.page.locator("#pose_style-problem")).to_contain_text("between 0 and 45")
    expect(studio.page.locator("#pose_style")).to_be_focused()
    studio.page.keyboard.type("7")
    studio.page.locator("#pose_style").fill("7")
    expect(studio.page.locator("#pose_style-problem")).to_be_empty()
    studio.generate()
    studio.wait_ready()


def test_video_can_be_made_with_the_keyboard_alone(studio: Studio, source_image: Path, speech: Path) -> None:
    page, files = studio.page, [source_image, speech]
    page.on("filechooser", lambda chooser: chooser.set_files(files.pop(0)))
    for name, key, chosen in (
        ("Source image", "Enter", "portrait.jpg"),
        ("Audio file", "Space", "speech.wav"),
    ):
        if name == "Audio file":
            _tab_to(studio, "input", "Text")
            page.keyboard.press("ArrowRight")
        _tab_to(studio, "input", name)
        page.keyboard.press(key)
        page.get_by_text(chosen).first.wait_for()
    page.get_by_text("face found").wait_for()
    _tab_to(studio, "input", "720")
    page.keyboard.press("ArrowLeft")
    assert page.get_by_role("radio", name="480").is_checked()
    _tab_to(studio, "button", "Generate")
    page.keyboard.press("Enter")
    studio.wait_ready()
    expect(page.get_by_role("status").filter(has_text="The video is ready")).to_have_count(1)
    _tab_to(studio, "a", "Download")


def test_request_can_be_cancelled_and_followed_by_another(
    studio: Studio, source_image: Path, speech: Path
) -> None:
    studio.choose(source_image, speech)
    studio.set_seed(WATCHABLE + 2)
    studio.generate()
    studio.page.get_by_text("Drawing the video").wait_for()
    studio.page.get_by_role("button", name="Cancel").click()
    expect(studio.page.locator("#state")).to_have_text("Cancelled. Nothing was kept.")
    assert not studio.page.locator("video").is_visible()
    studio.set_seed(3)
    studio.generate()
    studio.wait_ready()


def test_two_pages_never_show_each_others_video(
    chromium: Browser, service: RunningService, source_image: Path, speech: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.png"
    red, green, blue = ImageOps.mirror(Image.open(source_image).convert("RGB")).split()
    Image.merge("RGB", (blue, red, green)).save(other)
    people = [chromium.new_context() for _ in range(2)]
    studios = [opened(person.new_page(), service.url) for person in people]
    for studio, picture in zip(studios, (source_image, other), strict=True):
        studio.choose(picture, speech)
        studio.set_seed(4)
    for studio in studios:
        studio.generate()
    expected = [_pixels(source_image), _pixels(other)]
    for studio, mine, theirs in zip(studios, expected, reversed(expected), strict=True):
        studio.watch_until("video.currentTime > 0.2")
        _compare(studio, mine, theirs)
        studio.wait_ready()
        studio.page.evaluate("video.pause()")
        studio.watch_until(
            "video.currentSrc.includes('/download/') && video.readyState >= 2 && !video.seeking"
        )
        _compare(studio, mine, theirs)
        assert studio.faults == []
    for person in people:
        person.close()


def test_earlier_source_image_can_be_chosen_and_removed(
    context: BrowserContext, studio: Studio, paced: RunningService, source_image: Path, speech: Path
) -> None:
    studio.choose(source_image)
    again = opened(context.new_page(), paced.url)
    again.page.get_by_role("button", name="Choose: Source image from").first.click()
    expect(again.page.locator("#image-what")).to_contain_text("uploaded earlier")
    again.choose(speech=speech)
    again.generate()
    again.wait_ready()
    again.page.on("dialog", lambda dialog: dialog.accept())
    before = again.page.locator("#shelf-list li").count()
    remove = again.page.get_by_role("button", name="Remove: Source image from").first
    remove.focus()
    again.page.keyboard.press("Enter")
    expect(again.page.locator("#shelf-list li")).to_have_count(before - 1)
    assert again.faults == []


def test_microphone_recording_becomes_the_driven_audio(studio: Studio, source_image: Path) -> None:
    studio.choose(source_image)
    studio.page.get_by_role("radio", name="Recording").check(force=True)
    studio.page.get_by_role("button", name="Record").click()
    expect(studio.page.locator("#audio-what")).to_have_text("Recording")
    studio.page.wait_for_timeout(1500)
    studio.page.get_by_role("button", name="Stop").click()
    expect(studio.page.locator("#audio-what")).to_contain_text("recording.webm")
    studio.generate()
    studio.wait_ready()


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="curl or jq is not installed")
def test_copied_commands_make_the_same_video(
    studio: Studio, source_image: Path, speech: Path, tmp_path: Path
) -> None:
    image, audio = tmp_path / "her photo.jpg", tmp_path / "speech.wav"
    shutil.copy(source_image, image)
    shutil.copy(speech, audio)
    studio.choose(image, audio)
    studio.page.get_by_label("Still").check(force=True)
    studio.show_commands()
    studio.page.get_by_role("button", name="Copy").click()
    expect(studio.page.get_by_role("button", name="Copied")).to_be_visible()
    commands = studio.page.evaluate("navigator.clipboard.readText()")
    done = subprocess.run(
        [shutil.which("bash") or "/bin/bash", "-euo", "pipefail", "-c", commands],
        cwd=tmp_path,
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    with av.open(str(tmp_path / "talking.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) > 200
    studio.generate()
    studio.wait_ready()
    # the page sent the same request
    expect(studio.page.locator("#state")).to_contain_text(re.compile(r"Made in \d+ ms"))


def _tab_to(studio: Studio, tag: str, name: str) -> None:
    """Press Tab until the element with this name visibly has the focus."""
    for _ in range(40):
        studio.page.keyboard.press("Tab")
        focused = studio.page.locator(f"{tag}:focus")
        if (
            focused.count()
            and studio.page.get_by_label(name, exact=True)
            .or_(studio.page.get_by_role("button", name=name, exact=True))
            .or_(studio.page.get_by_role("link", name=name, exact=True))
            .and_(focused)
            .count()
        ):
            return
    raise AssertionError(f"Tab does not lead to {name}")


def _compare(studio: Studio, mine: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
    shown = studio.video_pixels()
    assert np.abs(shown - mine).mean() < 12
    assert np.abs(shown - theirs).mean() > 30


def _pixels(path: Path) -> NDArray[np.float32]:
    return np.asarray(Image.open(path).convert("RGB").resize((GRID, GRID), Image.Resampling.BOX), np.float32)


def test_one_of_several_faces_is_chosen_by_click_or_from_the_list(
    context: BrowserContext, service: RunningService, speech: Path, tmp_path: Path
) -> None:
    group = tmp_path / "group.png"
    make.group(1.0, 0.8).save(group)
    studio = opened(context.new_page(), service.url)
    page = studio.page
    studio.choose(group)
    who = page.get_by_label("Who speaks")
    expect(who.locator("option")).to_have_text(["Face 0, the largest", "Face 1"])
    expect(page.get_by_label("About the source image")).to_contain_text("shows 2 faces of similar size")
    assert "face_index" not in (page.locator("#command").text_content() or "")
    stage = page.locator("#image")
    size = stage.bounding_box()
    assert size is not None
    fit = min(size["width"] / 1024, size["height"] / 512)
    left, top = (size["width"] - 1024 * fit) / 2, (size["height"] - 512 * fit) / 2
    stage.click(position={"x": left + fit * (512 + 0.8 * 223), "y": top + fit * (102 + 0.8 * 124)})
    expect(who).to_have_value("1")
    expect(page.get_by_label("About the source image")).to_be_hidden()
    assert (page.locator("#command").text_content() or "").count("face_index=1") == 2
    who.select_option("0")
    expect(page.get_by_label("About the source image")).to_be_visible()
    who.select_option("1")
    page.reload()
    expect(who).to_have_value("1")
    expect(who.locator("option")).to_have_count(2, timeout=30_000)
    studio.choose(speech=speech)
    with page.expect_response("**/generate") as answered:
        studio.generate()
    assert answered.value.json()["settings"]["face_index"] == 1
    studio.wait_ready()
    assert studio.faults == []


def test_a_video_is_accepted_as_source_image(
    context: BrowserContext, service: RunningService, tmp_path: Path
) -> None:
    states: tuple[make.State, ...] = ("open", "good", "blink")
    clip = make.save_video(
        tmp_path / "clip.webm", [make.talking()[state] for state in states for _ in range(2)]
    )
    studio = opened(context.new_page(), service.url)
    studio.choose(clip)
    expect(studio.page.get_by_label("About the source image")).to_contain_text("The source is a video")
    expect(studio.page.locator("#shade")).to_contain_text("best frame of clip.webm")
    assert studio.faults == []
