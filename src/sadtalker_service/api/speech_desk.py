"""Speaks texts for the routes: one at a time, in a thread, a phrase after the other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from itertools import takewhile

from sadtalker_service.domain import SpokenText
from sadtalker_service.errors import Busy
from sadtalker_service.media.sound_writer import SOUND_FORMATS, write_sound
from sadtalker_service.pipeline.cached import CachedComputation
from sadtalker_service.pipeline.spoken import spoken_pieces
from sadtalker_service.settings import Settings
from sadtalker_service.speech.voices.choice import resolve
from sadtalker_service.speech.voices.port import VOICE_RATE
from sadtalker_service.speech.voices.speaker import Script, read_text
from sadtalker_service.store.cache import ArtefactCache

MOST_WAITING = 8
"""Texts that wait to be spoken. One more is refused: its client would wait for a minute."""
_AHEAD = 4
"""Pieces that are made before the client has taken the first of them."""


class SpeechDesk:
    """For the event loop's thread."""

    def __init__(self, settings: Settings, cache: Callable[[], ArtefactCache]) -> None:
        """`cache` gives where spoken phrases are kept. Nothing is loaded before the first text."""
        self._settings = settings
        self._cache = cache
        self._readers = ThreadPoolExecutor(1, "text-reader")
        self._speakers = ThreadPoolExecutor(1, "speaker")
        self._waiting = 0

    def close(self) -> None:
        """Speak nothing more."""
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._speakers.shutdown(wait=False, cancel_futures=True)

    async def read(self, spoken: SpokenText, language: str = "", param: str = "text") -> Script:
        """The phrases of a text, its voice chosen. Raises what `read_text` and `resolve` raise."""

        def read() -> Script:
            return read_text(resolve(spoken, language, self._settings.voice), param)

        return await asyncio.get_running_loop().run_in_executor(self._readers, read)

    async def speak(self, script: Script, form: str) -> AsyncGenerator[bytes, None]:
        """The file of a spoken script, in pieces; the first one comes with the first phrase.

        The rest is not spoken when the generator is closed. Raises `Busy`, `EngineUnavailable`.
        """
        if self._waiting >= MOST_WAITING:
            raise Busy("Too many texts are waiting to be spoken. Try again in a moment.", retry_after=5.0)
        self._waiting += 1
        try:
            async with aclosing(self._pieces(script, form)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            self._waiting -= 1

    async def _pieces(self, script: Script, form: str) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        made: asyncio.Queue[bytes | None] = asyncio.Queue()
        room, stopped = threading.Semaphore(_AHEAD), threading.Event()

        def work() -> None:
            try:
                for piece in self._encoded(script, form, stopped):
                    room.acquire()
                    if stopped.is_set():
                        return
                    loop.call_soon_threadsafe(made.put_nowait, piece)
            finally:
                loop.call_soon_threadsafe(made.put_nowait, None)

        task = loop.run_in_executor(self._speakers, work)
        try:
            while (piece := await made.get()) is not None:
                room.release()
                yield piece
            await task
        finally:
            stopped.set()
            room.release()

    def _encoded(self, script: Script, form: str, stopped: threading.Event) -> Iterator[bytes]:
        computation = CachedComputation(self._cache())
        spoken = spoken_pieces(script, computation, self._settings.voice_threads)

        wanted = takewhile(lambda _: not stopped.is_set(), spoken)
        yield from filter(None, write_sound(wanted, VOICE_RATE, SOUND_FORMATS[form]))
