"""Drives the studio page as its users do: by the visible labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import ConsoleMessage, Page

GRID = 16
"""Images are compared at this many pixels each way."""

_VIDEO = "document.querySelector('video')"
_BUSY = "document.getElementById('caption').dataset.state === 'busy'"
_PIXELS = f"""() => {{
  const canvas = new OffscreenCanvas({GRID}, {GRID});
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage({_VIDEO}, 0, 0, {GRID}, {GRID});
  return Array.from(pen.getImageData(0, 0, {GRID}, {GRID}).data);
}}"""


class Studio:
    """One open page. `faults`: errors of its scripts and violations of its security policy."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._note)

    def _note(self, message: ConsoleMessage) -> None:
        # the browser logs every error response; tests check how the page handles them
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            self.faults.append(message.text)

    def choose(self, source_image: Path | None = None, speech: Path | None = None) -> None:
        """Choose files, and wait until the face is found."""
        if speech:
            self.page.get_by_label("Audio file", exact=True).set_input_files(speech)
        if source_image:
            self.page.get_by_label("Source image", exact=True).and_(
                self.page.locator("input")
            ).set_input_files(source_image)
            self.page.get_by_text("face found").wait_for()

    def set_seed(self, seed: int) -> None:
        """Set a seed that makes a new video."""
        self.show_more()
        self.page.get_by_label("Variation").fill(str(seed))

    def show_more(self) -> None:
        """Open the part with more options."""
        if not self.page.get_by_label("Variation").is_visible():
            self.page.get_by_text("More", exact=True).click()

    def show_commands(self) -> None:
        """Open the part with the commands for a terminal."""
        self.show_more()
        self.page.get_by_text("The same request from a terminal").click()

    def generate(self) -> None:
        """Press the Generate button."""
        self.page.get_by_role("button", name="Generate").click()

    def wait_ready(self) -> None:
        """Wait until the video is ready."""
        self.page.locator("#caption[data-state=ready]").wait_for()

    def watch_until(self, condition: str) -> dict[str, Any]:
        """Wait until the script `condition` holds for `video`, and return the state of the element."""
        script = f"""() => {{
          const video = {_VIDEO};
          if (!({condition})) return null;
          const {{ currentTime, duration, videoWidth, videoHeight, currentSrc, ended, muted }} = video;
          return {{ currentTime, duration, videoWidth, videoHeight, currentSrc, ended, muted,
                   error: video.error && video.error.message, busy: {_BUSY} }};
        }}"""
        handle = self.page.wait_for_function(script, polling=20)
        state: dict[str, Any] = handle.json_value()
        return state

    def video_pixels(self) -> NDArray[np.float32]:
        """Return the current frame of the video: float32 (GRID, GRID, 3), 0..255."""
        values: Sequence[int] = self.page.evaluate(_PIXELS)
        return np.array(values, np.float32).reshape(GRID, GRID, 4)[..., :3]
