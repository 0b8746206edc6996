"""A stream plays in a real browser while it still comes, as the source of `<video>` and through MSE."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from tests.support.stream_type import stream_type

from sadtalker_service.domain import Rendering
from sadtalker_service.media.audio import SoundStream
from sadtalker_service.media.video import write_video

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

SECONDS = 3
PAGE = """<!doctype html><video id="v" muted playsinline></video><script>
const video = document.getElementById("v");
async function throughMse() {
  const answer = await fetch("/stream"), type = answer.headers.get("content-type");
  if (!MediaSource.isTypeSupported(type)) throw new Error("not supported: " + type);
  const source = new MediaSource();
  video.src = URL.createObjectURL(source);
  await new Promise(done => source.addEventListener("sourceopen", done, {once: true}));
  const buffer = source.addSourceBuffer(type), reader = answer.body.getReader();
  video.play();
  for (;;) {
    const {done, value} = await reader.read();
    if (done) break;
    buffer.appendBuffer(value);
    await new Promise(done => buffer.addEventListener("updateend", done, {once: true}));
    window.started ??= buffer.buffered.length ? buffer.buffered.start(0) : undefined;
  }
  source.endOfStream();
}
function throughSource() { video.src = "/stream"; return video.play(); }
</script>"""


class Paced(BaseHTTPRequestHandler):
    """Serves the page, and the pieces slower than they play."""

    pieces: tuple[bytes, ...] = ()
    sent: threading.Event

    def do_GET(self) -> None:
        page = self.path != "/stream"
        self.send_response(200)
        self.send_header("content-type", "text/html" if page else stream_type(self.pieces[0]))
        self.end_headers()
        for piece in [PAGE.encode()] if page else self.pieces:
            self.wfile.write(piece)
            time.sleep(0 if page else 0.1)
        if not page:
            self.sent.set()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, ...]:
    got: list[bytes] = []

    class Viewer:
        def write(self, data: bytes) -> int:
            got.append(data)
            return len(data)

    shades = np.arange(25 * SECONDS, dtype=np.uint8)[:, None, None, None] + np.zeros((64, 64, 3), np.uint8)
    batches = (shades[start : start + 5] for start in range(0, len(shades), 5))
    hum = np.sin(np.arange(16_000 * SECONDS) / 16, dtype=np.float32)[:, None] / 2
    write_video(
        Rendering(shades[0], (0, 0, 64, 64), 25, len(shades), batches),
        tmp_path_factory.mktemp("video") / "v.mp4",
        sound=SoundStream(16_000, 1, iter([hum])),
        stream=Viewer(),
    )
    return tuple(got)


@pytest.fixture
def served(pieces: tuple[bytes, ...]) -> Iterator[tuple[str, threading.Event]]:
    sent = threading.Event()
    handler = type("Handler", (Paced,), {"pieces": pieces, "sent": sent})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", sent
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("way", ["throughSource", "throughMse"])
def test_it_plays_before_it_is_whole_and_to_its_end(
    served: tuple[str, threading.Event], way: str, tmp_path: Path
) -> None:
    url, sent = served
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        try:
            page = browser.new_page()
            complaints: list[str] = []
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(url)
            page.evaluate(f"() => {{ {way}(); }}")
            page.wait_for_function("video.currentTime > 0 || video.error", timeout=20_000)
            early = not sent.is_set()
            page.wait_for_function("video.ended || video.error", timeout=30_000)
            found = page.evaluate(
                "() => ({error: video.error?.message, time: video.currentTime, started: window.started,"
                " width: video.videoWidth, frames: video.getVideoPlaybackQuality().totalVideoFrames})"
            )
        finally:
            browser.close()
    assert complaints == []
    assert found.get("error") is None
    assert found["width"] == 64
    assert found["time"] == pytest.approx(SECONDS, abs=0.1)
    assert found["frames"] >= 0.8 * 25 * SECONDS
    if way == "throughMse":
        assert early, "it began to play only when all of it was there"
        assert found["started"] == pytest.approx(0, abs=1e-3)
