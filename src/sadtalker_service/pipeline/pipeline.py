"""From a source image and driven audio to a video, with one engine and one cache."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from sadtalker_service.domain import (
    Artefact,
    Avatar,
    LazySourceImage,
    LazySpeech,
    Motion,
    SourceImage,
    Speech,
    VideoResult,
)
from sadtalker_service.engines.port import NO_REFERENCES, Engine, Stage
from sadtalker_service.errors import EmptyAudio, InvalidOption, UnsupportedByEngine
from sadtalker_service.media.audio import stream_sound
from sadtalker_service.media.boxes import Writable
from sadtalker_service.media.stopwatch import Clock, Stopwatch
from sadtalker_service.media.video import write_video
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.cached import CachedComputation, CacheLog, CacheTerms
from sadtalker_service.pipeline.captioned import Captions
from sadtalker_service.pipeline.init_segment import LiveStream, announcement
from sadtalker_service.pipeline.progress import Reporter
from sadtalker_service.pipeline.references import NO_VIDEOS, ReferenceVideos, extract_reference_motion
from sadtalker_service.store.cache import ArtefactCache
from sadtalker_service.store.keys import speech_features_key, stage_key

AnySourceImage = SourceImage | LazySourceImage
DrivenAudio = Speech | LazySpeech


@dataclass(frozen=True, eq=False)
class Prepared:
    """An avatar, with the time and the cache lookups that it took."""

    avatar: Avatar
    seconds: Mapping[str, float]
    """Stage -> seconds, including the cache access."""
    cache: CacheLog


@dataclass(frozen=True, eq=False)
class Pipeline:
    """Prepares avatars and renders videos."""

    engine: Engine
    cache: ArtefactCache
    terms: CacheTerms | None = None
    reporter: Reporter = field(default_factory=Reporter)
    """Receives every stage and batch of frames; raises `Cancelled` if the work must stop."""
    clock: Clock = time.perf_counter

    def prepare(self, image: AnySourceImage, options: RenderOptions, *, previews: bool = False) -> Prepared:
        """Compute or load every stage that rendering needs; with `previews`, all stages.

        A lazy image is opened only if something must be computed. Raises the errors of the stages
        (`NoFaceFound`, `FaceTooSmall`, `MouthOutsidePicture`, ...) and `Cancelled`.
        """
        engine, mode, options = self.engine, options.preprocess, self._sized(options)
        computation, watch = CachedComputation(self.cache, self.terms), Stopwatch()
        artefacts: dict[str, Artefact] = {}
        for stage in engine.stages_for(options):
            if not (stage.essential or previews):
                continue
            self.reporter.stage(stage.name)
            key = stage_key(
                stage.name,
                image.image_hash,
                mode if stage.per_mode else None,
                engine.name,
                engine.version,
                options.face_index,
            )
            with watch(stage.name):
                artefacts[stage.name] = computation.artefact(
                    stage.name, key, stage.lifetime, partial(_compute, stage, image, options, artefacts)
                )
        avatar = Avatar(image.image_hash, engine.name, mode, artefacts, options.face_index)
        return Prepared(avatar, watch.seconds, computation.log)

    def render(
        self,
        prepared: Prepared,
        speech: DrivenAudio | None,
        options: RenderOptions,
        output: Path,
        *,
        references: ReferenceVideos = NO_VIDEOS,
        stream: Writable | None = None,
        idle_seconds: float = 0.0,
        warnings: tuple[str, ...] = (),
    ) -> VideoResult:
        """Make the video of `prepared` speaking `speech`, or idling for `idle_seconds` if that is None.

        `stream` receives the video as fragmented mp4 while it is being made, see `media.video.write_video`.
        `warnings` and those of the speech are included in the result. A cancelled job raises `Cancelled`
        within one batch of frames. After that or any other error there is no file. Raises `EmptyAudio`,
        `OutputError` and the errors of the engine.
        """
        engine, reporter, options = self.engine, self.reporter, self._sized(options)
        watch, start = Stopwatch(self.clock), self.clock()
        duration = self._duration(speech, options, idle_seconds)
        computation = CachedComputation(self.cache, self.terms)
        viewers = LiveStream(stream) if stream else None
        features, reference_motion = None, NO_REFERENCES
        if speech:
            reporter.stage("speech_features")
            with watch("speech_features"):
                features = self._speech_features(prepared.avatar, speech, options, computation, viewers)
        if references:
            reporter.stage("reference_motion")
            with watch("reference_motion"):
                reference_motion = extract_reference_motion(
                    engine, references, options.preprocess, computation
                )
        reporter.stage("drive")
        with watch("drive"):
            motion = engine.drive(prepared.avatar, features, options, duration, reference_motion)
        with watch("set_up"):
            captions = Captions(speech, options)
            rendering = captions.drawn_into(engine.render(prepared.avatar, motion, options))
        reporter.rendering(rendering.frames)
        video = write_video(
            rendering,
            output,
            sound=stream_sound(speech.path, speech.reading) if speech else None,
            quality=options.quality,
            on_frame=reporter.frames,
            stream=viewers,
        )
        with watch("captions"):
            captions.add_to(output)
        problems = [*prepared.cache.problems, *computation.log.problems]
        speech_warnings = speech.warnings if speech else ()
        return VideoResult(
            engine=engine.name,
            width=video.width,
            height=video.height,
            fps=video.fps,
            frames=video.frames,
            video_seconds=video.frames / video.fps,
            size_bytes=output.stat().st_size,
            total_seconds=sum(prepared.seconds.values()) + self.clock() - start,
            seconds={**prepared.seconds, **watch.seconds, **video.seconds},
            cache_hits=(*prepared.cache.hits, *computation.log.hits),
            cache_misses=(*prepared.cache.misses, *computation.log.misses),
            saved_seconds=prepared.cache.saved_seconds + computation.log.saved_seconds,
            warnings=tuple(
                dict.fromkeys(
                    (
                        *warnings,
                        *prepared.avatar.warnings,
                        *speech_warnings,
                        *_remarks(options, motion),
                        *captions.remarks(),
                        *problems,
                    )
                )
            ),
            words=captions.words,
        )

    def _sized(self, options: RenderOptions) -> RenderOptions:
        """Return `options` with the engine's default size if none was chosen."""
        return replace(options, size=options.size or self.engine.capabilities.default_size)

    def _duration(self, speech: DrivenAudio | None, options: RenderOptions, idle_seconds: float) -> float:
        """Return the seconds of video to make."""
        if speech is None:
            if not self.engine.capabilities.idle:
                raise UnsupportedByEngine(
                    f"The {self.engine.name} engine needs driven audio.", param="driven_audio"
                )
            if idle_seconds * options.fps < 1:
                raise InvalidOption("An idle video must be at least one frame long.", param="idle")
            return idle_seconds
        if speech.duration * options.fps < 1:
            raise EmptyAudio(
                f"The driven audio is {speech.duration * 1000:.0f} ms long, shorter than one frame.",
                param="driven_audio",
            )
        return speech.duration

    def _speech_features(
        self,
        avatar: Avatar,
        speech: DrivenAudio,
        options: RenderOptions,
        computation: CachedComputation,
        viewers: LiveStream | None,
    ) -> Artefact:
        """Load or extract speech features; on a miss, viewers get the initialisation segment first."""

        def announce() -> None:
            if viewers:
                viewers.announce(announcement(self.engine, avatar, speech, options))

        track = speech.reading.track if speech.reading else 0
        key = speech_features_key(speech.audio_hash, self.engine.name, self.engine.version, track)
        return computation.artefact(
            "motion",
            key,
            "week",
            lambda: self.engine.extract_speech_features(speech.opened),
            on_miss=announce,
        )


def _compute(
    stage: Stage, image: AnySourceImage, options: RenderOptions, artefacts: Mapping[str, Artefact]
) -> Artefact:
    source_image = replace(image.opened, face_index=options.face_index)
    return stage.compute(source_image, options.preprocess, artefacts)


def _remarks(options: RenderOptions, motion: Motion) -> Iterator[str]:
    """Yield what was requested but is not in the video; an engine adds its own in the record's `warnings`."""
    end = motion.frames / motion.fps
    for cue in options.gestures:
        if cue.at >= end:
            yield f"gesture {cue.name}@{cue.at:g} begins after the end of the video at {end:.1f} s."
    yield from motion.record.get("warnings", ())
