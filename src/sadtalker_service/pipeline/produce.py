"""From an avatar and speech to a video file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sadtalker_service.domain import Artefact, Motion, Rendering, Speech, Style
from sadtalker_service.engines.base import NO_REFERENCES, PLAIN, Engine, Finish
from sadtalker_service.errors import EmptyAudio, InvalidOption, UnsupportedByEngine
from sadtalker_service.media.audio import stream_sound
from sadtalker_service.media.boxes import Writable
from sadtalker_service.media.stopwatch import Clock, Stopwatch
from sadtalker_service.media.video import VideoFile, write_video
from sadtalker_service.pipeline.announcement import AnnouncedStream, announcement
from sadtalker_service.pipeline.cached import CachedComputation, CacheTerms
from sadtalker_service.pipeline.prepare import Prepared
from sadtalker_service.pipeline.progress import Reporter
from sadtalker_service.pipeline.references import NO_VIDEOS, ReferenceVideos, follow
from sadtalker_service.pipeline.report import Report
from sadtalker_service.store.cache import ArtefactCache
from sadtalker_service.store.keys import heard_key


def produce(
    engine: Engine,
    prepared: Prepared,
    speech: Speech | None,
    style: Style,
    output: Path,
    *,
    cache: ArtefactCache,
    terms: CacheTerms | None = None,
    references: ReferenceVideos = NO_VIDEOS,
    finish: Finish = PLAIN,
    stream: Writable | None = None,
    idle_seconds: float = 0.0,
    warnings: tuple[str, ...] = (),
    reporter: Reporter | None = None,
    clock: Clock = time.perf_counter,
) -> Report:
    """Make the video of `prepared` speaking `speech`, or idle for `idle_seconds` where that is None.

    `stream` gets the video as fragmented mp4 while it is being made, see `media.video.write_video`.
    `warnings` are handed on into the report. The work ends with `Cancelled` within one batch of frames when
    `reporter` says so; then, and after any other error, there is no file. Raises `EmptyAudio`,
    `OutputError` and what the engine raises.
    """
    reporter = reporter or Reporter()
    watch, start = Stopwatch(clock), clock()
    duration = _duration(engine, speech, style, idle_seconds)
    computation = CachedComputation(cache, terms)
    viewers = AnnouncedStream(stream) if stream else None
    heard = None
    if speech:
        reporter.stage("listen")
        with watch("listen"):
            heard = _listen(engine, prepared, speech, style, finish, computation, viewers)
    followed = NO_REFERENCES
    if references:
        reporter.stage("follow")
        with watch("follow"):
            followed = follow(engine, references, style.preprocess, computation)
    reporter.stage("drive")
    with watch("drive"):
        motion = engine.drive(prepared.avatar, heard, style, duration, followed)
    with watch("set_up"):
        rendering = engine.render(prepared.avatar, motion, style, finish)
    reporter.rendering(rendering.frames)
    video = _write(rendering, speech, style, output, reporter, viewers)
    problems = dict.fromkeys([*prepared.cache.problems, *computation.log.problems])
    return Report(
        output=video.path,
        engine=engine.name,
        width=video.width,
        height=video.height,
        fps=video.fps,
        frames=video.frames,
        video_seconds=video.frames / video.fps,
        size_bytes=video.size_bytes,
        wall_seconds=sum(prepared.seconds.values()) + clock() - start,
        seconds={**prepared.seconds, **watch.seconds, **video.seconds},
        cache_hits=(*prepared.cache.hits, *computation.log.hits),
        cache_misses=(*prepared.cache.misses, *computation.log.misses),
        saved_seconds=prepared.cache.saved_seconds + computation.log.saved_seconds,
        warnings=tuple(
            dict.fromkeys((*warnings, *prepared.avatar.warnings, *_remarks(style, motion), *problems))
        ),
    )


def _duration(engine: Engine, speech: Speech | None, style: Style, idle_seconds: float) -> float:
    """Seconds of video to make."""
    if speech is None:
        if not engine.capabilities.idle:
            raise UnsupportedByEngine(f"The {engine.name} engine needs a recording.", param="driven_audio")
        if idle_seconds * style.fps < 1:
            raise InvalidOption("An idle video needs a length of at least one frame.", param="idle")
        return idle_seconds
    if speech.duration * style.fps < 1:
        raise EmptyAudio(
            f"The recording is {speech.duration * 1000:.0f} ms long, shorter than one frame.",
            param="driven_audio",
        )
    return speech.duration


def _listen(
    engine: Engine,
    prepared: Prepared,
    speech: Speech,
    style: Style,
    finish: Finish,
    computation: CachedComputation,
    viewers: AnnouncedStream | None,
) -> Artefact:
    def announce() -> None:
        if viewers:
            viewers.announce(announcement(engine, prepared.avatar, speech, style, finish))

    key = heard_key(speech.audio_hash, engine.name, engine.version)
    return computation.artefact("motion", key, "week", partial(engine.listen, speech), on_miss=announce)


def _write(
    rendering: Rendering,
    speech: Speech | None,
    style: Style,
    output: Path,
    reporter: Reporter,
    stream: Writable | None,
) -> VideoFile:
    return write_video(
        rendering,
        output,
        sound=stream_sound(speech.path) if speech else None,
        quality=style.quality,
        on_frame=reporter.frames,
        stream=stream,
    )


def _remarks(style: Style, motion: Motion) -> Iterator[str]:
    """What was asked for and is not in the video. An engine may add to it in `warnings` of the record."""
    end = motion.frames / motion.fps
    for cue in style.gestures:
        if cue.at >= end:
            yield f"gesture {cue.name}@{cue.at:g} begins after the end of the video at {end:.1f} s."
    yield from motion.record.get("warnings", ())
