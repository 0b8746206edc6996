"""Encode frames as H.264 if PyAV and numpy are installed. A GPU machine may have neither."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from queue import Queue

from torch import Tensor

_OPTIONS = {"preset": "veryfast", "crf": "21", "x264-params": "subme=1:partitions=i8x8,i4x4:weightp=0"}
"""The options of medium quality (`media.encoder`)."""
_AHEAD = 2
"""Maximum number of batches that wait for the encoder."""


def is_possible() -> bool:
    """Whether frames can be encoded here."""
    return all(find_spec(name) for name in ("av", "numpy"))


def encode(batches: Iterable[Tensor], fps: int) -> bytes:
    """Encode uint8 (n, H, W, 3) RGB batches in memory. Returns an mp4 file."""
    import av  # noqa: PLC0415 - an optional dependency

    written = io.BytesIO()
    with av.open(written, "w", format="mp4") as container:
        stream = None
        for picture in (picture for batch in batches for picture in batch.numpy()):
            if stream is None:
                stream = container.add_stream("libx264", rate=fps, options=_OPTIONS)
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode(None))
    return written.getvalue()


def encode_beside(batches: Iterator[Tensor], fps: int) -> bytes:
    """Encode in a separate thread while this one draws `batches`. Returns an mp4 file."""
    waiting: Queue[Tensor | None] = Queue(_AHEAD)
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(encode, iter(waiting.get, None), fps)
        try:
            for batch in batches:
                waiting.put(batch)
        finally:
            waiting.put(None)
        return written.result()
