"""Captions of a video: drawn into its frames, or as a text track."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sadtalker_service.domain import DrivenAudio, Rendering, Speech, TimedLabel
from sadtalker_service.media.caption_overlay import burn_in
from sadtalker_service.media.cues import Cue
from sadtalker_service.media.text_track import add_text_track
from sadtalker_service.options import RenderOptions
from sadtalker_service.speech.captions import recogniser
from sadtalker_service.speech.captions.lines import cues_of

_NO_WORDS = (
    "captions were not applied: the times of the words are not known. Send a text instead of driven audio, or"
    " send the words of the driven audio as transcript."
)


class Captions:
    """The captions of one video."""

    def __init__(self, speech: DrivenAudio | None, options: RenderOptions) -> None:
        timeline = speech.timeline if isinstance(speech, Speech) else None
        self.words: tuple[TimedLabel, ...] = timeline.words if timeline else ()
        """Empty if the times of the words are not known."""
        self._wanted = options.captions
        self._cues: Sequence[Cue] = cues_of(self.words, speech.duration) if speech and self.words else ()

    def drawn_into(self, rendering: Rendering) -> Rendering:
        """The rendering, with captions in its frames if they are requested."""
        return burn_in(rendering, self._cues) if self._wanted == "burned" else rendering

    def add_to(self, file: Path) -> bool:
        """Add the captions to a finished file if a track is requested. Returns whether they were added.

        Raises `OutputError`.
        """
        if self._wanted != "track" or not self._cues:
            return False
        add_text_track(file, self._cues)
        return True

    def remarks(self) -> Iterator[str]:
        """A warning if captions are requested and there are none."""
        if self._wanted and not self._cues:
            obstacle = recogniser.obstacle()
            yield f"{_NO_WORDS} Or let them be recognised: {obstacle}" if obstacle else _NO_WORDS
