"""A real Chromium on the real service."""

from __future__ import annotations

import shutil
import tempfile
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from tests.browser.studio import Studio
from tests.support.running_service import RunningService

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
REPEATS = 2
"""The example recording so many times over: work that lasts long enough to be watched."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser of this machine: Debian's plays H.264 and AAC, playwright's own does not."""
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
    folder = Path(tempfile.mkdtemp(prefix="st-"))  # pytest's own paths are too long for a socket
    with RunningService(folder) as running:
        yield running
    shutil.rmtree(folder)


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
def studio(context: BrowserContext, service: RunningService) -> Iterator[Studio]:
    """The page; no script on it may fail."""
    studio = opened(context.new_page(), service.url)
    yield studio
    assert studio.faults == []


@pytest.fixture(scope="session")
def portrait() -> Path:
    """A picture with a face."""
    return EXAMPLES / "portrait.jpg"


@pytest.fixture(scope="session")
def speech() -> Path:
    """Ten seconds of speech."""
    return EXAMPLES / "speech.wav"


@pytest.fixture(scope="session")
def long_speech(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some twenty seconds of speech."""
    path = tmp_path_factory.mktemp("speech") / "long.wav"
    with wave.open(str(speech)) as short, wave.open(str(path), "wb") as long:
        long.setparams(short.getparams())
        long.writeframes(REPEATS * short.readframes(short.getnframes()))
    return path


def opened(page: Page, url: str) -> Studio:
    """The studio at `url`."""
    studio = Studio(page)
    page.goto(f"{url}/")
    return studio
