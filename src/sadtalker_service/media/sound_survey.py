"""Survey a file first: which track to use, and how to read it.

Two facts are unknown at the start of a recording: the scale of its samples, and which of several tracks has
the voice. Lips and video then use the same result. Several tracks are read to the end. Of a single one, the
first seconds with sound decide, so that a long recording need not be read twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from sadtalker_service.domain import SPEECH_RATE, SoundReading
from sadtalker_service.errors import AudioTooLarge, EmptyAudio, InvalidOption
from sadtalker_service.media.mixing import Mixer, left_and_right, mono_share
from sadtalker_service.media.sound_block import Block
from sadtalker_service.media.sound_file import FileLog, SoundFile
from sadtalker_service.media.sound_times import TrackLog
from sadtalker_service.media.voice_activity import voiced_ticks

Float32 = NDArray[np.float32]

MOST_TRACKS = 16
"""Largest number of audio tracks that are analysed. A file may have more."""
_PADDING = 0.04
"""Seconds by which a codec may lengthen a recording that is just within the limit."""
_OPPOSED = 4.0
"""If left minus right has this many times the power of left plus right, without hum, they cancel out."""
_HUM_SECONDS = 0.0025
"""A mean over this time contains the hum and little of a voice."""
_BIN = 0.25
_OCTAVES = 32
"""Octaves per step of the histogram of samples beyond full scale, and the total."""
_RARE = 1e-3
"""Largest share of samples beyond full scale that are clipped."""
_NO_FLOATS = 16.0
"""Floats beyond this are integers, because no mix exceeds full scale by 24 dB."""
_INTEGER_SCALES = (2.0**15, 2.0**23, 2.0**31)
_MAIN_TRACK = 0.5
"""The main track is kept if it has at least this share of the voice in the best track."""
_ENOUGH = 10.0
"""Seconds of sound that show how a track must be read."""
_AUDIBLE = 2e-3
"""A frame with a sample beyond this has sound, -54 dBFS."""
_CHUNK = 10 * SPEECH_RATE
"""Number of samples that are analysed at a time."""


@dataclass(frozen=True)
class Survey:
    """The content of a file, and the settings for reading it."""

    reading: SoundReading
    warnings: tuple[str, ...]
    """What was guessed."""


def survey(
    path: Path,
    *,
    max_seconds: float = float("inf"),
    audio_track: int | None = None,
) -> Survey:
    """Read so much of a file that it is clear how to read it.

    `audio_track` is the number of an audio track, starting at 1. None selects the main track, or another one
    if only that has a voice.

    Raises:
        UnreadableAudio: the file is missing, has no audio, or is too damaged.
        AudioTooLarge: longer than `max_seconds`.
        EmptyAudio: no samples.
        InvalidOption: the track does not exist.
    """
    file = SoundFile(path)
    count, main = file.track_count()
    if audio_track is not None and not 1 <= audio_track <= count:
        has = "one audio track" if count == 1 else f"{count} audio tracks"
        raise InvalidOption(
            f"audio_track is {audio_track}, but the driven audio has {has}. 1 is the first.",
            param="audio_track",
        )
    candidates = [audio_track - 1] if audio_track else sorted({main, *range(min(count, MOST_TRACKS))})
    statistics = {track: _TrackStatistics(choosing=len(candidates) > 1) for track in candidates}
    with closing(file.blocks(candidates)) as blocks:
        for track, block in blocks:
            statistics[track].add(block)
            refuse_longer(file.log.tracks[track].seconds, max_seconds)
            if len(candidates) == 1 and statistics[track].sure:
                break
        else:
            file.refuse_mostly_damaged()
    track, chosen = _choose(statistics, main)
    log = file.log.tracks[track]
    if log.seconds == 0:
        raise EmptyAudio(
            "The driven audio has no sound, or is shorter than one video frame. Use a longer recording.",
            param="driven_audio",
        )
    gain, scaled = statistics[track].gain()
    opposed = statistics[track].opposed()
    warnings = (*chosen, *scaled, *([_OPPOSED_WARNING] if opposed else []))
    return Survey(SoundReading(track, gain, opposed), warnings)


def refuse_longer(seconds: float, max_seconds: float) -> None:
    """Raise `AudioTooLarge` for more seconds than allowed."""
    if seconds > max_seconds + _PADDING:
        raise AudioTooLarge(
            f"The driven audio is longer than {max_seconds:g} seconds. Cut it into several.",
            param="driven_audio",
        )


_OPPOSED_WARNING = (
    "The left and right channels have the same voice with opposite signs, as from a miswired microphone. "
    "The right channel was inverted."
)


class _TrackStatistics:
    """Statistics of one track, in constant memory."""

    def __init__(self, *, choosing: bool) -> None:
        self._total = 0
        self._beyond = np.zeros(round(_OCTAVES / _BIN) + 1, np.int64)
        self._same, self._opposite = 0.0, 0.0
        self._pair: list[Float32] = []
        self._mixer = Mixer(SPEECH_RATE, 1, SoundReading()) if choosing else None
        self._chunk: list[Float32] = []
        self.voiced = 0.0
        """Seconds with a voice. Stays 0 if there is only one track."""
        self._loudest = 0.0
        self._audible = 0.0

    @property
    def sure(self) -> bool:
        """Whether there was so much sound that more would change nothing."""
        return self._audible >= _ENOUGH

    def add(self, block: Block) -> None:
        """Add one frame."""
        both = left_and_right(block)
        self._count(both)
        if float(np.abs(both).max(initial=0.0)) > _AUDIBLE:
            self._audible += len(both) / block.rate
        if both.shape[1] == 2:
            mono = (both[:, :1] + both[:, 1:]) * np.float32(mono_share(len(block.names)))
            if len(block.names) > 2:
                self._count(mono)
            self._compare(both, block.rate)
        if self._mixer:
            self._chunk.append(self._mixer.push(block)[:, 0])
            if sum(map(len, self._chunk)) >= _CHUNK:
                self.detect_voice()

    def detect_voice(self) -> None:
        """Detect a voice in the samples since the last call."""
        if self._chunk:
            samples = np.concatenate(self._chunk)
            self._chunk = []
            self.voiced += float(voiced_ticks(samples).sum()) / 100.0
            self._loudest = max(self._loudest, float(np.abs(samples).max(initial=0.0)))

    @property
    def silent(self) -> bool:
        """Whether nothing was above -66 dBFS."""
        return self._loudest < 5e-4

    def opposed(self) -> bool:
        """Whether left and right cancel out."""
        if self._pair:
            self._end_pair(SPEECH_RATE)
        return self._opposite > _OPPOSED * self._same and self._opposite > 0.0

    def gain(self) -> tuple[float, tuple[str, ...]]:
        """Factor that fits the samples into -1..1, and the warnings about it."""
        beyond = np.cumsum(self._beyond[::-1])[::-1]
        usual = np.flatnonzero(beyond > _RARE * self._total)
        top = 2.0 ** ((int(usual[-1]) + 1) * _BIN) if len(usual) else 1.0
        if top <= 2.0**_BIN:
            return 1.0, ()
        if top <= _NO_FLOATS:
            decibels = 20 * np.log10(top)
            over = f"Samples reach {top:.1f} times full scale. They were turned down by {decibels:.0f} dB."
            return 1.0 / top, (over,) if top > 2.0 else ()
        scale = next((s for s in _INTEGER_SCALES if top <= s * 2.0**_BIN), top)
        bits = f"{round(np.log2(scale)) + 1}-bit integers"
        return 1.0 / scale, (
            f"The driven audio has floats that contain {bits}. It was scaled to full scale.",
        )

    def _count(self, samples: Float32) -> None:
        self._total += int(np.count_nonzero(samples))
        if max(float(samples.max()), -float(samples.min())) > 1.0:
            size = np.abs(samples)
            steps = np.floor(np.log2(size[size > 1.0]) / _BIN).astype(np.int64)
            self._beyond += np.bincount(steps, minlength=len(self._beyond))

    def _compare(self, both: Float32, rate: int) -> None:
        """Record the similarity of left and right, half a second at a time."""
        self._pair.append(both)
        if sum(map(len, self._pair)) >= rate // 2:
            self._end_pair(rate)

    def _end_pair(self, rate: int) -> None:
        voices = np.concatenate(self._pair)
        self._pair = []
        for _ in range(2):  # each pass removes 20 dB below 100 Hz
            voices = voices - uniform_filter1d(voices, max(3, round(_HUM_SECONDS * rate)), axis=0)
        self._same += float(np.square(voices[:, 0] + voices[:, 1]).sum())
        self._opposite += float(np.square(voices[:, 0] - voices[:, 1]).sum())


def _choose(statistics: dict[int, _TrackStatistics], main: int) -> tuple[int, tuple[str, ...]]:
    """The track to use, and the warnings about the choice."""
    if len(statistics) == 1:
        return next(iter(statistics)), ()
    for stats in statistics.values():
        stats.detect_voice()
    most = max(stats.voiced for stats in statistics.values())
    audible = [track for track, stats in statistics.items() if not stats.silent]
    if most > 0 and statistics[main].voiced < _MAIN_TRACK * most:
        track = max(statistics, key=lambda t: (statistics[t].voiced, -t))
    elif statistics[main].silent and audible:
        track = audible[0]
    else:
        track = main
    if audible in ([track], []) and track == main:
        return track, ()
    others = "the voice is there" if statistics[track].voiced > 0 else "no voice was found in any"
    return track, (
        f"The driven audio has {len(statistics)} audio tracks. Track {track + 1} was used ({others}). "
        "Set audio_track to use another.",
    )


def losses(file: FileLog, track: TrackLog) -> Iterator[str]:
    """Warnings about parts of the recording that the video lacks, and about inserted silence."""
    used = track.seconds
    if track.missing > 0:
        yield (
            f"The driven audio is incomplete: {used:.2f} s were used, {track.missing:.2f} s that it "
            "announces are missing. Upload it again if the upload was interrupted."
        )
    elif file.cut:
        yield f"The driven audio is incomplete: {used:.2f} s were used, the rest is missing."
    if file.broken > 0:
        lost = file.broken * used
        yield (
            f"The end of the driven audio is damaged: {used:.2f} s were used, about {lost:.2f} s are lost."
        )
    if track.bad:
        yield (
            f"{track.bad} damaged parts of the driven audio do not decode. They were left out or are silent."
        )
    if track.gap > 0:
        yield (
            f"{track.gap:.2f} s of the driven audio have no data (a muted microphone, or lost packets). "
            "They are silent."
        )
    if track.jumps > 0:
        yield f"The times in the driven audio jump by {track.jumps:.0f} s. The jump was left out."
    if file.parts > 1:
        yield f"The file holds {file.parts} recordings in a row. They were joined to {used:.2f} s."
    if file.beyond > 0:
        yield f"{file.beyond:.2f} s of audio that the file's header does not announce were also used."
