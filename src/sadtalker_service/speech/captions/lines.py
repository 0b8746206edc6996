"""From words with times to captions that can be read.

The usual rules: at most two lines of 42 characters, at most 17 characters a second where the speech leaves
room for it, from 1 to 7 seconds, two frames of gap; a new cue at the end of a sentence and at a pause.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sadtalker_service.domain import TimedLabel
from sadtalker_service.media.cues import Cue

LINE = 42
"""Characters of a line."""
LINES = 2
SHORTEST, LONGEST = 1.0, 7.0
"""Seconds of a cue."""
READING = 17.0
"""Characters a second."""
_GAP = 0.08
_PAUSE = 0.7
"""Seconds without a word after which a new cue begins."""
_ENDS = (".", "!", "?", "…", ":")
_CLAUSES = (",", ";", "—")


def cues_of(words: Sequence[TimedLabel], duration: float) -> tuple[Cue, ...]:
    """Cues for words in order of time; none after `duration` seconds, the end of the video."""
    groups = list(_groups([word for word in words if word.label.strip()]))
    cues = []
    for number, group in enumerate(groups):
        following = groups[number + 1][0].start if number + 1 < len(groups) else duration
        text = " ".join(word.label for word in group)
        wanted = max(group[-1].end, group[0].start + max(SHORTEST, len(text) / READING))
        end = min(wanted, max(group[-1].end, following - _GAP), following, group[0].start + LONGEST)
        cues.append(Cue(group[0].start, max(end, group[0].start + 0.04), _lines(text)))
    return tuple(replace(cue, end=min(cue.end, duration)) for cue in cues if cue.start < duration)


def _groups(words: Sequence[TimedLabel]) -> Iterator[list[TimedLabel]]:
    group: list[TimedLabel] = []
    for word in words:
        if group and _begins_new(group, word):
            cut = _clause(group) if _overflows(group, word) else len(group)
            yield group[:cut]
            group = group[cut:]
        group.append(word)
    if group:
        yield group


def _begins_new(group: Sequence[TimedLabel], word: TimedLabel) -> bool:
    last = group[-1]
    ends = last.label.endswith(_ENDS) and len(_text(group)) >= LINE // 4
    return ends or word.start - last.end > _PAUSE or _overflows(group, word)


def _overflows(group: Sequence[TimedLabel], word: TimedLabel) -> bool:
    too_long = len(_lines(f"{_text(group)} {word.label}")) > LINES
    return too_long or word.end - group[0].start > LONGEST


def _clause(group: Sequence[TimedLabel]) -> int:
    """Where a full group is cut: after the last comma of its second half, or at its end."""
    half = len(group) // 2
    return next((i for i in range(len(group), half, -1) if group[i - 1].label.endswith(_CLAUSES)), len(group))


def _text(group: Sequence[TimedLabel]) -> str:
    return " ".join(word.label for word in group)


def _lines(text: str) -> tuple[str, ...]:
    """Lines of at most `LINE` characters; two are about as long as each other. A longer word is cut."""
    words = [word[i : i + LINE] for word in text.split() for i in range(0, len(word), LINE)]
    if len(" ".join(words)) <= LINE:
        return (" ".join(words),)
    two = [(" ".join(words[:cut]), " ".join(words[cut:])) for cut in range(1, len(words))]
    fitting = [pair for pair in two if max(map(len, pair)) <= LINE]
    if fitting:
        return min(fitting, key=lambda pair: abs(len(pair[0]) - len(pair[1]) + 4))
    first = next((i for i in range(len(words), 0, -1) if len(" ".join(words[:i])) <= LINE), 1)
    return (" ".join(words[:first]), *_lines(" ".join(words[first:])))
