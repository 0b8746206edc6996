"""The avatar that the browser draws: its page, on the real service, in a real browser."""

from __future__ import annotations

import io
import re
import wave
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import BrowserContext, expect
from tests.browser.studio import Studio
from tests.support.running_service import RunningService

import sadtalker_service

MODULE = Path(sadtalker_service.__file__).parent / "api" / "studio" / "sadtalker-avatar.js"
MOST_BYTES = 15_000
LONG = 60_000
"""Milliseconds."""
WATCH = """async (seconds) => {
  const audio = document.getElementById("audio");
  const canvas = document.getElementById("face");
  const small = new OffscreenCanvas(96, 96).getContext("2d", { willReadFrequently: true });
  const seen = [];
  await audio.play();
  while (!audio.ended && audio.currentTime < seconds) {
    await new Promise(requestAnimationFrame);
    const before = audio.currentTime;
    small.drawImage(canvas, 0, 0, 96, 96);
    seen.push([before, Array.from(small.getImageData(0, 0, 96, 96).data.filter((_, k) => k % 4 === 1))]);
  }
  return seen;
}"""
"""What the canvas shows while the audio plays: [[seconds, green of 96x96 pixels]]."""
BLINK = (0.085, 0.035, 0.16)

Frames = NDArray[np.float64]


class Face:
    """The shapes of an avatar, and the picture that a timeline asks for at a time."""

    def __init__(self, url: str, image_id: str, timeline: dict[str, Any]) -> None:
        places = httpx.get(f"{url}/api/avatar/{image_id}/visemes").json()
        png = httpx.get(f"{url}/api/avatar/{image_id}/visemes?format=png").content
        sheet = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
        side = places["cell"]

        def cell(corner: dict[str, int]) -> Frames:
            x, y = corner["x"], corner["y"]
            green = Image.fromarray(sheet[y : y + side, x : x + side]).resize((96, 96), Image.Resampling.BOX)
            return np.asarray(green, np.float64)[..., 1]

        self.shapes = {name: cell(corner) for name, corner in places["visemes"].items()}
        self.closed_eyes = cell(places["closed_eyes"])
        self.timeline = timeline
        self.still = np.ptp(np.stack([*self.shapes.values(), self.closed_eyes]), axis=0) <= 1
        """Pixels that no shape moves."""
        self.teeth = np.abs(self.shapes["aa"] - self.shapes["PP"]) > 80
        """Pixels by which an open and a closed mouth differ."""

    def at(self, seconds: float) -> Frames:
        """The blend of the shapes."""
        cues = self.timeline["cues"]
        times = [cue["at"] for cue in cues]
        shares = {n: np.interp(seconds, times, [c["shapes"].get(n, 0.0) for c in cues]) for n in self.shapes}
        total = sum(shares.values())
        return np.sum([share / total * self.shapes[name] for name, share in shares.items()], axis=0)

    def blinks_at(self, seconds: float) -> bool:
        """Whether the eyes are not quite open."""
        return any(0 <= seconds - begin <= sum(BLINK) for begin in self.timeline["blinks"])


@pytest.fixture(scope="module")
def two_seconds(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginning of the example recording, with its first blink."""
    path = tmp_path_factory.mktemp("speech") / "short.wav"
    with wave.open(str(speech)) as whole, wave.open(str(path), "wb") as short:
        short.setparams(whole.getparams())
        short.writeframes(whole.readframes(2 * whole.getframerate()))
    return path


def test_lips_move_with_the_audio_and_nothing_else_does(
    context: BrowserContext, service: RunningService, source_image: Path, two_seconds: Path
) -> None:
    page = context.new_page()
    studio = Studio(page)
    page.goto(f"{service.url}/")
    page.get_by_role("link", name="Browser avatar").click()
    with page.expect_response("**/api/speech/timeline") as answered:
        page.get_by_label("Source image").set_input_files(source_image)
        expect(page.locator("#state")).to_have_text("Choose driven audio.", timeout=LONG)
        page.get_by_label("Driven audio").set_input_files(two_seconds)
    expect(page.locator("#state")).to_have_text("Ready. Press play.", timeout=LONG)
    image_id = httpx.get(f"{service.url}/api/avatar").json()["avatars"][0]["image_id"]
    face = Face(service.url, image_id, answered.value.json())
    seen = page.evaluate(WATCH, 1.9)
    shown = np.array([pixels for _, pixels in seen], np.float64).reshape(-1, 96, 96)
    times = np.array([at for at, _ in seen])
    assert face.teeth.sum() > 40
    assert face.still.mean() > 0.5
    # the whole picture is the blend of the shapes, at the time of the sound: no seam, no halo
    open_eyes = np.array([not face.blinks_at(at) for at in times])
    wanted = np.stack([face.at(at) for at in times])
    off = np.abs(shown - wanted).max(axis=(1, 2))
    assert np.percentile(off[open_eyes], 90) < 12, off
    mouth, expected = shown[:, face.teeth].mean(axis=1), wanted[:, face.teeth].mean(axis=1)
    assert np.ptp(mouth) > 25
    assert np.corrcoef(mouth, expected)[0, 1] > 0.97
    assert np.ptp(shown[:, face.still], axis=0).max() <= 4
    # the eyes close and open again
    begin = face.timeline["blinks"][0]
    closed = int(np.abs(times - (begin + 0.1)).argmin())
    change = face.closed_eyes - face.shapes["sil"]
    eyes = np.abs(change) > 40
    assert abs(times[closed] - begin - 0.1) < 0.03
    # on a busy machine this frame may show the eyes a little before or after they are closed
    moved = (shown[closed] - face.shapes["sil"])[eyes]
    closure = moved @ change[eyes] / (change[eyes] @ change[eyes])
    assert 0.75 < closure < 1.1
    assert np.abs(moved - closure * change[eyes]).mean() < 6
    assert np.abs(shown[0] - face.shapes["sil"])[eyes].mean() < 4
    assert studio.faults == []


def test_page_says_what_is_wrong(
    context: BrowserContext, service: RunningService, source_image: Path, tmp_path: Path
) -> None:
    page = context.new_page()
    page.goto(f"{service.url}/studio/avatar.html?image_id={'0' * 64}")
    problem = page.locator("#problem")
    expect(problem).not_to_be_empty(timeout=LONG)
    (tmp_path / "long.wav").write_bytes(silence(121))
    page.get_by_label("Driven audio").set_input_files(tmp_path / "long.wav")
    expect(problem).to_contain_text("A timeline may be at most 120 s long.", timeout=LONG)
    (tmp_path / "grey.png").write_bytes(grey())
    page.get_by_label("Source image").set_input_files(tmp_path / "grey.png")
    expect(problem).to_contain_text("face", timeout=LONG)


def test_module_is_small_and_alone() -> None:
    text, declared = MODULE.read_text(), MODULE.with_suffix(".d.ts").read_text()
    assert len(text.encode()) < MOST_BYTES
    assert "\nimport " not in text
    assert "https://" not in text
    exports = re.compile(r"^export (?:async )?(?:function|class) (\w+)", re.MULTILINE)
    assert exports.findall(text) == exports.findall(declared)
    assert len(exports.findall(text)) == 5


def silence(seconds: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes(2 * 8000 * seconds))
    return file.getvalue()


def grey() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (200, 200), "grey").save(file, "PNG")
    return file.getvalue()
