"""A transparent video over a coloured page, and the studio's choice of a background."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect
from tests.browser.conftest import opened
from tests.support.running_service import RunningService, until

PAGE_COLOUR = (200, 40, 220)
_SHOW = """async ([url, colour]) => {
  const video = document.createElement("video");
  document.body.replaceChildren(video);
  Object.assign(document.documentElement.style, { background: colour });
  Object.assign(document.body.style, { background: colour, margin: 0, padding: 0 });
  Object.assign(video.style, { position: "fixed", left: 0, top: 0, width: "512px", height: "512px" });
  video.src = url;
  await new Promise((yes, no) => { video.onloadeddata = yes; video.onerror = no; });
  video.currentTime = 0.4;
  await new Promise((yes) => { video.onseeked = yes; });
  await new Promise((yes) => requestAnimationFrame(() => requestAnimationFrame(yes)));
  return [video.videoWidth, video.videoHeight, video.duration];
}"""


def made(service: RunningService, source_image: Path, speech: Path, **fields: str) -> dict[str, Any]:
    """The status of a finished video."""
    with httpx.Client(base_url=service.url, timeout=60) as client:
        upload = client.post("/api/avatar/upload", files={"image_file": source_image.read_bytes()})
        form = {"image_id": upload.raise_for_status().json()["image_id"], "enhancer": "none", **fields}
        sound = {"audio_file": speech.read_bytes()}
        answer = client.post("/api/vip/generate", data=form, files=sound).raise_for_status().json()
        status = answer["links"]["status"]
        until(lambda: client.get(status).json()["status"] in {"ready", "failed"}, "the video", 150)
        found = dict(client.get(status).json())
    assert found["status"] == "ready", found
    return found


def screen(page: Page) -> NDArray[np.int64]:
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)


def test_the_page_is_seen_behind_the_person(
    service: RunningService, context: BrowserContext, source_image: Path, short_speech: Path
) -> None:
    video = made(service, source_image, short_speech, background="transparent")
    assert video["video"]["media_type"] == "video/webm"
    page = context.new_page()
    page.goto(f"{service.url}/")  # a page of the same origin, which is emptied
    colour = f"rgb{PAGE_COLOUR}"
    width, height, duration = page.evaluate(_SHOW, [video["download_url"], colour])
    assert (width, height) == (512, 512)
    assert duration == pytest.approx(video["video"]["seconds"], abs=0.1)
    seen = screen(page)
    for x, y in ((20, 20), (490, 20), (450, 250), (600, 200)):
        assert np.abs(seen[y, x] - PAGE_COLOUR).max() <= 2, (x, y)
    photo = np.asarray(Image.open(source_image).convert("RGB")).astype(int)
    suit, visor = (slice(330, 350), slice(90, 110)), (slice(430, 470), slice(370, 430))
    for part in (suit, visor):
        assert np.abs(seen[part].mean(axis=(0, 1)) - photo[part].mean(axis=(0, 1))).max() < 16, part


def test_the_studio_offers_backgrounds_and_shapes(
    context: BrowserContext, service: RunningService, source_image: Path, short_speech: Path
) -> None:
    studio = opened(context.new_page(), service.url)
    page = studio.page
    studio.choose(source_image, short_speech)
    page.get_by_label("Background", exact=True).select_option("Colour")
    page.get_by_label("Colour of the background").fill("#00ff00")
    page.get_by_label("Shape").select_option("16:9")
    command = page.locator("#command")
    expect(command).to_contain_text("background=#00ff00")
    expect(command).to_contain_text("aspect_ratio=16:9")
    studio.generate()
    studio.wait_ready()
    shown = studio.watch_until("video.videoWidth > 0 && !video.seeking && video.readyState > 2")
    assert shown["videoWidth"] / shown["videoHeight"] == pytest.approx(16 / 9, rel=0.01)
    assert np.abs(studio.video_pixels()[1, 1] - (0, 255, 0)).max() < 12

    page.get_by_label("Background", exact=True).select_option("Picture")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_text("Choose a picture for the background.")).to_be_visible()
    page.get_by_label("Background", exact=True).select_option("Transparent (WebM)")
    expect(command).to_contain_text("talking.webm")
    assert studio.faults == []
