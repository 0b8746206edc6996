"""Pictures and recordings that lie in files, and the whole way from them to a video."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sadtalker_service.domain import HEIGHT_CAP, Speech
from sadtalker_service.errors import UnreadableAudio
from sadtalker_service.media.audio import decode_speech
from sadtalker_service.media.stopwatch import Stopwatch
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.height import height_remark
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.pipeline.references import NO_VIDEOS, ReferenceVideos
from sadtalker_service.pipeline.report import Report
from sadtalker_service.pipeline.sources import lazy_source_image
from sadtalker_service.settings import Settings


def render_files(
    pipeline: Pipeline,
    source_image: Path,
    driven_audio: Path | None,
    options: RenderOptions,
    output: Path,
    *,
    settings: Settings,
    references: ReferenceVideos = NO_VIDEOS,
    idle_seconds: float = 0.0,
    warnings: tuple[str, ...] = (),
    explain_height: bool = False,
) -> Report:
    """Make the video of the person in `source_image` speaking `driven_audio`, or idle where that is None.

    `explain_height`: warn where the video has fewer lines than the quality allows.

    Raises what decoding raises (`UnreadableImage`, `AudioTooLarge`, ...), and what `Pipeline` raises.
    """
    watch = Stopwatch(pipeline.clock)
    with watch("decode"):
        image = lazy_source_image(source_image, settings, pipeline.cache)
        speech = read_speech(driven_audio, settings, options.audio_track) if driven_audio else None
    prepared = pipeline.prepare(image, options)
    report = pipeline.render(
        prepared,
        speech,
        options,
        output,
        references=references,
        idle_seconds=idle_seconds,
        warnings=warnings,
    )
    decoding = watch.seconds["decode"]
    missing = explain_height and report.height < HEIGHT_CAP[options.quality]
    remark = height_remark(options, image.opened.size, made=report.height) if missing else None
    return replace(
        report,
        seconds={"decode": decoding, **report.seconds},
        wall_seconds=decoding + report.wall_seconds,
        warnings=(*report.warnings, remark) if remark else report.warnings,
    )


def read_speech(
    path: Path, settings: Settings, audio_track: int | None = None, audio_hash: str | None = None
) -> Speech:
    """The sound in `path`, whose sha256 may be known; of a track, from 1 on, or of that with the voice.

    Raises `UnreadableAudio`, `AudioTooLarge`, `EmptyAudio`, `InvalidOption`.
    """
    try:
        return decode_speech(
            path,
            max_bytes=settings.max_audio_bytes,
            max_seconds=settings.max_audio_seconds,
            audio_track=audio_track,
            audio_hash=audio_hash,
        )
    except OSError as error:
        raise UnreadableAudio(f"Cannot read {path}: {error.strerror}.", param="driven_audio") from error
