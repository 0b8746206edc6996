"""Sends viewers the initialisation segment before the first frame is rendered.

The segment depends on sizes and rates alone. Extracting the speech features of new driven audio takes a
while; players get the segment in the meantime and can set themselves up.
"""

from __future__ import annotations

from sadtalker_service.domain import Avatar, LazySpeech, Speech
from sadtalker_service.engines.port import Engine
from sadtalker_service.media.audio import stream_sound
from sadtalker_service.media.boxes import Writable
from sadtalker_service.media.video import initialisation
from sadtalker_service.options import RenderOptions


class LiveStream:
    """A stream whose first piece can be sent before the others exist."""

    def __init__(self, stream: Writable) -> None:
        self._stream = stream
        self._announced: bytes | None = None
        self._error: OSError | None = None

    def announce(self, piece: bytes) -> None:
        """Send the first piece now. If the stream fails, the next `write` raises its error."""
        try:
            self._stream.write(piece)
            self._announced = piece
        except OSError as error:
            self._error = error

    def write(self, data: bytes, /) -> int:
        """Send a piece; the announced one is not sent again.

        Raises `OSError` if the first piece differs from the announced one, and the errors of the stream.
        """
        if self._error:
            raise self._error
        announced, self._announced = self._announced, None
        if announced is None:
            return self._stream.write(data)
        if data != announced:
            self._error = OSError("the video does not match the announced initialisation segment")
            raise self._error
        return len(data)


def announcement(
    engine: Engine, avatar: Avatar, speech: Speech | LazySpeech, options: RenderOptions
) -> bytes:
    """Return the initialisation segment of the video that these inputs will give."""
    return initialisation(
        engine.frame_size(avatar, options),
        options.fps,
        sound=stream_sound(speech.path, speech.reading),
        quality=options.quality,
    )
