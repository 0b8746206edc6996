"""When the frames of an audio track play, and which parts are missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sadtalker_service.media.sound_block import Block

_SMALLEST_GAP = 0.05
"""Seconds. Times in files are rounded, and those of live recordings jitter by some hundredths."""
_LONGEST_GAP = 900.0
"""Seconds. A larger jump of the times is damage, not a pause."""
_RESTART = 1.0
"""Times that go back by more than this, in seconds, start again. The following frames are appended."""
_MP3_LENGTH = (b"Xing", b"Info", b"VBRI")
"""Found before the first frame of an MP3 that gives its number of frames. For others FFmpeg estimates it from
the bit rate."""


@dataclass
class TrackLog:
    """What happened to one audio track of a file while it was read."""

    seconds: float = 0.0
    """Length so far, including gaps."""
    good: int = 0
    bad: int = 0
    """Numbers of frames that decoded, and that did not."""
    gap: float = 0.0
    """Seconds without packets, which became silence."""
    jumps: float = 0.0
    """Seconds of time jumps that were ignored."""
    missing: float = 0.0
    """Seconds that a header announces and that are missing."""


class Clock:
    """Places the frames of one track at their times, in one part of a file."""

    def __init__(self, log: TrackLog) -> None:
        self._log = log
        self._begin = log.seconds
        self._offset: float | None = None
        """Time stamp at which `log.seconds` would be 0."""

    def in_time(self, frame: Any, block: Block) -> Iterator[Block]:
        """The block, after the silence that precedes it."""
        stamp = None if frame.pts is None or frame.time_base is None else float(frame.pts * frame.time_base)
        if stamp is None:
            self._offset = None  # counting continues from the next known time
        elif self._offset is None:
            self._offset = stamp - self._log.seconds
        else:
            gap = stamp - self._offset - self._log.seconds
            if _SMALLEST_GAP < gap <= _LONGEST_GAP:
                yield from self._silence(gap, block)
            elif gap > _LONGEST_GAP or gap < -_RESTART:
                self._log.jumps += max(gap, 0.0)
                self._offset += gap
        self._log.seconds += len(block.samples) / block.rate
        yield block

    def missing(self, announced: float, *, of_part: bool) -> float:
        """Seconds that were announced and are missing. For a part, those that the part lacks."""
        if of_part:
            return announced
        lacking = announced - (self._log.seconds - self._begin)
        return lacking if lacking > 0.25 + 0.01 * announced else 0.0

    def _silence(self, seconds: float, like: Block) -> Iterator[Block]:
        self._log.gap += seconds
        left = round(seconds * like.rate)
        while left > 0:
            samples = np.zeros((min(left, like.rate), len(like.names)), np.float32)
            left -= len(samples)
            self._log.seconds += len(samples) / like.rate
            yield Block(samples, like.rate, like.names, like.layout)


def announced_seconds(container: Any, stream: Any, head: bytes) -> float:
    """Seconds that a file announces for a track, or 0 if it does not say or FFmpeg only estimates.

    `head` holds its first bytes.
    """
    name = container.format.name
    exact = name in {"flac", "aiff"} or name.startswith("mov,")
    if exact or (name == "mp3" and any(tag in head for tag in _MP3_LENGTH)):
        return float(stream.duration * stream.time_base) if stream.duration else 0.0
    if name.startswith("matroska"):
        return _clock_time(stream.metadata.get("DURATION", ""))
    return 0.0


def _clock_time(text: str) -> float:
    """Seconds of `00:01:02.5`, 0 for anything else."""
    found = re.fullmatch(r"(\d{1,3}):(\d\d):(\d\d(?:\.\d+)?)", text.strip())
    return (
        sum(float(part) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True))
        if found
        else 0.0
    )
