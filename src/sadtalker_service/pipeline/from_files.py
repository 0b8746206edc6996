"""The whole way from files to a file: decode, prepare, produce."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sadtalker_service.domain import Speech, Style
from sadtalker_service.engines.base import PLAIN, Engine, Finish
from sadtalker_service.errors import UnreadableAudio
from sadtalker_service.media.audio import decode_speech
from sadtalker_service.media.stopwatch import Stopwatch
from sadtalker_service.pipeline.prepare import prepare
from sadtalker_service.pipeline.produce import produce
from sadtalker_service.pipeline.progress import Reporter
from sadtalker_service.pipeline.references import NO_VIDEOS, ReferenceVideos
from sadtalker_service.pipeline.report import Report
from sadtalker_service.pipeline.sources import read_portrait
from sadtalker_service.settings import Settings
from sadtalker_service.store.cache import ArtefactCache


def make_video(
    engine: Engine,
    source_image: Path,
    driven_audio: Path | None,
    style: Style,
    output: Path,
    *,
    settings: Settings,
    cache: ArtefactCache,
    references: ReferenceVideos = NO_VIDEOS,
    finish: Finish = PLAIN,
    idle_seconds: float = 0.0,
    face_index: int = 0,
    warnings: tuple[str, ...] = (),
    reporter: Reporter | None = None,
) -> Report:
    """Make the video of the person in `source_image` speaking `driven_audio`, or idle where that is None.

    `face_index` chooses among the faces of the picture: 0 is the largest. Raises what decoding raises
    (`UnreadableImage`, `AudioTooLarge`, ...), and what `prepare` and `produce` raise.
    """
    reporter, watch = reporter or Reporter(), Stopwatch()
    with watch("decode"):
        portrait = read_portrait(source_image, settings, cache, face_index=face_index)
        speech = read_speech(driven_audio, settings) if driven_audio else None
    prepared = prepare(engine, portrait, style.preprocess, cache, size=style.size, on_stage=reporter.stage)
    report = produce(
        engine,
        prepared,
        speech,
        style,
        output,
        cache=cache,
        references=references,
        finish=finish,
        idle_seconds=idle_seconds,
        warnings=warnings,
        reporter=reporter,
    )
    decoding = watch.seconds["decode"]
    return replace(
        report, seconds={"decode": decoding, **report.seconds}, wall_seconds=decoding + report.wall_seconds
    )


def read_speech(path: Path, settings: Settings) -> Speech:
    """The sound in `path`. Raises `UnreadableAudio`, `AudioTooLarge`, `EmptyAudio`."""
    try:
        return decode_speech(path, max_bytes=settings.max_audio_bytes, max_seconds=settings.max_audio_seconds)
    except OSError as error:
        raise UnreadableAudio(f"Cannot read {path}: {error.strerror}.", param="driven_audio") from error
