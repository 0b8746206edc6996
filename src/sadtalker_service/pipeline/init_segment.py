"""Tells those who watch what video will come, before it is known what it shows.

The initialisation segment depends on sizes and rates alone. Hearing a new recording takes a while; whoever
watches has it meanwhile, and a player can get ready.
"""

from __future__ import annotations

from sadtalker_service.domain import Avatar, LazySpeech, Speech
from sadtalker_service.engines.port import Engine
from sadtalker_service.media.audio import stream_sound
from sadtalker_service.media.boxes import Writable
from sadtalker_service.media.video import initialisation
from sadtalker_service.options import RenderOptions


class LiveStream:
    """A stream whose first piece may go out before the others are known."""

    def __init__(self, stream: Writable) -> None:
        self._stream = stream
        self._announced: bytes | None = None
        self._error: OSError | None = None

    def announce(self, piece: bytes) -> None:
        """Send the first piece now. An error of the stream is raised by the next `write`."""
        try:
            self._stream.write(piece)
            self._announced = piece
        except OSError as error:
            self._error = error

    def write(self, data: bytes, /) -> int:
        """Send a piece; the one that was announced is not sent again.

        Raises `OSError` where another one follows than was announced, and what the stream raises.
        """
        if self._error:
            raise self._error
        announced, self._announced = self._announced, None
        if announced is None:
            return self._stream.write(data)
        if data != announced:
            self._error = OSError("the video is not the one that was announced")
            raise self._error
        return len(data)


def announcement(
    engine: Engine, avatar: Avatar, speech: Speech | LazySpeech, options: RenderOptions
) -> bytes:
    """The initialisation segment of the video that will be made of this."""
    return initialisation(
        engine.frame_size(avatar, options),
        options.fps,
        sound=stream_sound(speech.path, speech.reading),
        quality=options.quality,
    )
