"""Captions as cues, and as WebVTT and SubRip files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cue:
    """Some lines of text that are shown together."""

    start: float
    """Seconds from the start of the video."""
    end: float
    """Seconds, above `start`."""
    lines: tuple[str, ...]
    """One or two."""


def to_vtt(cues: Sequence[Cue]) -> str:
    """A WebVTT file."""
    blocks = (f"{_stamp(c.start, '.')} --> {_stamp(c.end, '.')}\n{_escaped(c)}\n" for c in cues)
    return "WEBVTT\n\n" + "\n".join(blocks)


def to_srt(cues: Sequence[Cue]) -> str:
    """A SubRip file."""
    blocks = (
        f"{number}\n{_stamp(c.start, ',')} --> {_stamp(c.end, ',')}\n{_plain(c)}\n"
        for number, c in enumerate(cues, 1)
    )
    return "\n".join(blocks)


def _stamp(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def _escaped(cue: Cue) -> str:
    text = _plain(cue).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("-->", "--&gt;")


def _plain(cue: Cue) -> str:
    """No empty line may be in a cue: it would end it."""
    return "\n".join(re.sub(r"\s+", " ", line).strip() for line in cue.lines if line.strip())
