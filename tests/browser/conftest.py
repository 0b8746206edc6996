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
    # a microphone that beeps, and nobody who has to allow it
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser of this machine: Debian's plays H.264 and AAC, playwright's own does not.

    Per module: playwright's event loop runs in this thread as long as it is open, and other tests have
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
    """With the mesh engine and one worker, ready."""
    with running({}) as service:
        yield service


@pytest.fixture(scope="session")
def paced() -> Iterator[RunningService]:
    """With the small engine, which works as slowly as a request's seed says, on every machine."""
    with running(PATTERN_ENGINE) as service:
        yield service


@contextmanager
def running(env: Mapping[str, str]) -> Iterator[RunningService]:
    """A service that leaves nothing behind."""
    folder = Path(tempfile.mkdtemp(prefix="st-"))  # pytest's own paths are too long for a socket
    try:
        with RunningService(folder, env) as service:
            yield service
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser as of somebody who was never here."""
    context = chromium.new_context(
        viewport={"width": 1280, "height": 900}, permissions=["clipboard-read", "clipboard-write"]
    )
    context.set_default_timeout(60_000)
    yield context
    context.close()


@pytest.fixture
def studio(context: BrowserContext, paced: RunningService) -> Iterator[Studio]:
    """The page of the service that is paced; no script on it may fail."""
    studio = opened(context.new_page(), paced.url)
    yield studio
    assert studio.faults == []


@pytest.fixture(scope="session")
def source_image() -> Path:
    """A picture with a face."""
    return EXAMPLES / "portrait.jpg"


@pytest.fixture(scope="session")
def speech() -> Path:
    """Ten seconds of speech."""
    return EXAMPLES / "speech.wav"


@pytest.fixture(scope="session")
def short_speech(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of it."""
    path = tmp_path_factory.mktemp("speech") / "short.wav"
    with wave.open(str(speech)) as whole, wave.open(str(path), "wb") as short:
        short.setparams(whole.getparams())
        short.writeframes(whole.readframes(4 * whole.getframerate()))
    return path


def opened(page: Page, url: str) -> Studio:
    """The studio at `url`."""
    studio = Studio(page)
    page.goto(f"{url}/")
    return studio
