"""A real Chromium on the real service."""

from __future__ import annotations

import shutil
import tempfile
import wave
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from tests.browser.studio import Studio
from tests.support.running_service import PATTERN_ENGINE, RunningService

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # a fake microphone that beeps, without a permission prompt
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's browser: Debian's Chromium plays H.264 and AAC, playwright's own does not.

    Scoped per module: while playwright is open, its event loop runs in this thread, and other tests have
    loops of their own.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium is installed on this machine (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def service() -> Iterator[RunningService]:
    """A ready service with the mesh engine, one worker and a slot for a live session."""
    # tests share the processors with others, so that no load is too high
    with running({"LIVE_SLOTS": "1", "LIVE_MAX_LOAD": "1"}) as service:
        yield service


@pytest.fixture(scope="session")
def paced() -> Iterator[RunningService]:
    """A ready service with the pattern engine, whose speed depends only on the seed of the request."""
    with running(PATTERN_ENGINE) as service:
        yield service


@contextmanager
def running(env: Mapping[str, str]) -> Iterator[RunningService]:
    """Context manager with a running service; its folder is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="st-"))  # pytest's own paths are too long for a socket
    try:
        with RunningService(folder, env) as service:
            yield service
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A fresh browser profile."""
    context = chromium.new_context(
        viewport={"width": 1280, "height": 900}, permissions=["clipboard-read", "clipboard-write"]
    )
    context.set_default_timeout(60_000)
    yield context
    context.close()


@pytest.fixture
def studio(context: BrowserContext, paced: RunningService) -> Iterator[Studio]:
    """The page of the `paced` service; fails if a script on it fails."""
    studio = opened(context.new_page(), paced.url)
    yield studio
    assert studio.faults == []


@pytest.fixture(scope="session")
def source_image() -> Path:
    """An image with a face."""
    return EXAMPLES / "portrait.jpg"


@pytest.fixture(scope="session")
def speech() -> Path:
    """Ten seconds of speech."""
    return EXAMPLES / "speech.wav"


@pytest.fixture(scope="session")
def short_speech(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first four seconds of `speech`."""
    path = tmp_path_factory.mktemp("speech") / "short.wav"
    with wave.open(str(speech)) as whole, wave.open(str(path), "wb") as short:
        short.setparams(whole.getparams())
        short.writeframes(whole.readframes(4 * whole.getframerate()))
    return path


def opened(page: Page, url: str) -> Studio:
    """Open the studio at `url`."""
    studio = Studio(page)
    page.goto(f"{url}/")
    return studio
