"""From a source image and driven audio to a video, with one engine and one cache."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock

from sadtalker_service.domain import (
    Artefact,
    Avatar,
    DrivenAudio,
    LazySourceImage,
    Motion,
    SourceImage,
    SpeechFile,
    Uint8Image,
    VideoResult,
)
from sadtalker_service.engines.port import NO_REFERENCES, Engine, Stage
from sadtalker_service.errors import InvalidOption, UnsupportedByEngine
from sadtalker_service.files import removed_on_error
from sadtalker_service.media.audio import stream_sound
from sadtalker_service.media.backdrop import in_front_of
from sadtalker_service.media.boxes import Writable
from sadtalker_service.media.encoder import NO_TAGS
from sadtalker_service.media.marking.marker import Marker
from sadtalker_service.media.stopwatch import Clock, Stopwatch, apart, measured
from sadtalker_service.media.video import VideoFile, write_video
from sadtalker_service.options import RenderOptions
from sadtalker_service.options.seeds import seeded
from sadtalker_service.pipeline.ahead import taken_ahead
from sadtalker_service.pipeline.cached import CachedComputation, CacheLog, CacheTerms
from sadtalker_service.pipeline.captioned import Captions
from sadtalker_service.pipeline.hearing import Hearing, begun, hear, refuse_shorter
from sadtalker_service.pipeline.progress import Reporter
from sadtalker_service.pipeline.references import NO_VIDEOS, ReferenceVideos, extract_reference_motion
from sadtalker_service.store.cache import ArtefactCache
from sadtalker_service.store.keys import stage_key

AnySourceImage = SourceImage | LazySourceImage


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
    marker: Marker | None = None
    """Marks finished videos as synthetic; None: they are not marked."""
    turn: Lock | None = None
    """Held while a recording is heard, after a cancellation too: `render` does not wait for its end then."""

    def computation(self) -> CachedComputation:
        """A new one on this cache, with its own log."""
        return CachedComputation(self.cache, self.terms)

    def prepare(self, image: AnySourceImage, options: RenderOptions, *, previews: bool = False) -> Prepared:
        """Compute or load every stage that rendering needs; with `previews`, all stages.

        A lazy image is opened only if something must be computed. Raises the errors of the stages
        (`NoFaceFound`, `FaceTooSmall`, `MouthOutsidePicture`, ...) and `Cancelled`.
        """
        engine, mode, options = self.engine, options.preprocess, self._sized(options)
        computation, watch = self.computation(), Stopwatch()
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
        backdrop: Uint8Image | None = None,
        stream: Writable | None = None,
        idle_seconds: float = 0.0,
        warnings: tuple[str, ...] = (),
        hearing: Hearing | None = None,
    ) -> VideoResult:
        """Make the video of `prepared` speaking `speech`, or idling for `idle_seconds` if that is None.

        The frames of one window of the driven audio are drawn while the next window is recognised.

        `stream` gets the video as fragmented mp4 while it is being made, see `media.video.write_video`.
        `backdrop` is the picture that `options.background` names, uint8 (H, W, 3) RGB.
        `hearing` is what `self.hearing` returned for `speech` and these options, if it was begun before.
        `warnings` and those of the speech become part of the result. If the work is cancelled, it ends with
        `Cancelled` within one batch of frames. After an error there is no file. Raises `EmptyAudio`,
        `OutputError` and what the engine raises.
        """
        engine, reporter, avatar = self.engine, self.reporter, prepared.avatar
        inputs = (avatar.image_hash, str(avatar.face_index), *((speech.audio_hash,) if speech else ()))
        options = seeded(self._sized(options), *inputs)
        watch, driving, start = Stopwatch(self.clock), Stopwatch(self.clock), self.clock()
        duration = self._duration(speech, options, idle_seconds)
        hearing = hearing or (self._hear(speech, options) if speech else None)
        computation = hearing.computation if hearing else self.computation()
        features, reference_motion, waiting = None, NO_REFERENCES, Stopwatch(self.clock)
        if hearing:
            reporter.stage("speech_features")
            features = measured(hearing.windows, waiting, "speech_features")
        if references:
            reporter.stage("reference_motion")
            with watch("reference_motion"):
                reference_motion = extract_reference_motion(
                    engine, references, options.preprocess, computation
                )
        reporter.stage("drive")
        needed = duration if speech is None or options.has_tracks else None
        motion = engine.drive(avatar, features, options, needed, reference_motion)
        remarks: list[str] = []
        with taken_ahead(measured(_noting(motion, remarks), driving, "drive"), turn=self.turn) as windows:
            with watch("set_up"):
                waited = measured(windows, watch, "motion")
                captions = Captions(speech, options)
                rendering = engine.render(avatar, waited, options)
                if options.backdrop:
                    rendering = in_front_of(rendering, options.backdrop, backdrop)
                rendering = captions.drawn_into(rendering)
            reporter.rendering(engine.frame_count(duration, options.fps) if duration else 0)
            video = write_video(
                rendering,
                output,
                sound=stream_sound(speech.path, speech.reading) if speech else None,
                quality=options.quality,
                on_frame=reporter.frames,
                stream=stream,
                tags=self.marker.tags(engine.capabilities.source_type) if self.marker else NO_TAGS,
                encoder=engine.video_encoder,
            )
        reporter.finished(video.frames)
        with removed_on_error(output):
            with watch("captions"):
                captions.add_to(output)
            if self.marker:
                with watch("marking"):  # last: a signed file must not change
                    self.marker.sign(output, engine.capabilities.source_type)
        problems = [*prepared.cache.problems, *computation.log.problems]
        told = (*speech.warnings, *hearing.known.warnings) if speech and hearing else ()
        said = (*warnings, *avatar.warnings, *told, *_too_late(options, video), *remarks)
        said = (*said, *captions.remarks(), *problems)
        heard = hearing.watch.seconds if hearing else {}
        driven = apart(driving.seconds, "drive", "speech_features", waiting.seconds)
        seconds = {**prepared.seconds, **heard, **driven, **watch.seconds}
        return VideoResult(
            engine=engine.name,
            width=video.width,
            height=video.height,
            fps=video.fps,
            frames=video.frames,
            video_seconds=video.frames / video.fps,
            size_bytes=output.stat().st_size,
            total_seconds=sum(prepared.seconds.values()) + self.clock() - start,
            seconds={**seconds, **apart(video.seconds, "render", "motion", watch.seconds)},
            cache_hits=(*prepared.cache.hits, *computation.log.hits),
            cache_misses=(*prepared.cache.misses, *computation.log.misses),
            saved_seconds=prepared.cache.saved_seconds + computation.log.saved_seconds,
            warnings=tuple(dict.fromkeys(said)),
            words=captions.words,
        )

    @contextmanager
    def hearing(self, speech: DrivenAudio, options: RenderOptions) -> Iterator[Hearing]:
        """Hear the beginning of `speech` now, in another thread, while the avatar is prepared. For `render`.

        Its errors are raised there. At the end of the context nothing more is heard.
        """
        with begun(self._hear(speech, self._sized(options))) as hearing:
            yield hearing

    def _hear(self, speech: DrivenAudio, options: RenderOptions) -> Hearing:
        return hear(self.engine, speech, options, self.computation(), self.clock)

    def _sized(self, options: RenderOptions) -> RenderOptions:
        """Return `options` with the engine's default size if none was chosen."""
        return replace(options, size=options.size or self.engine.capabilities.default_size)

    def _duration(
        self, speech: DrivenAudio | None, options: RenderOptions, idle_seconds: float
    ) -> float | None:
        """Seconds of video to make. None if they are not known before the audio is decoded."""
        if speech is None:
            if not self.engine.capabilities.idle:
                raise UnsupportedByEngine(
                    f"The {self.engine.name} engine needs driven audio.", param="driven_audio"
                )
            if idle_seconds * options.fps < 1:
                raise InvalidOption("An idle video must be at least one frame long.", param="idle")
            return idle_seconds
        if isinstance(speech, SpeechFile) and not options.has_tracks:
            return speech.expected
        refuse_shorter(speech.duration, options)
        return speech.duration


def _compute(
    stage: Stage, image: AnySourceImage, options: RenderOptions, artefacts: Mapping[str, Artefact]
) -> Artefact:
    source_image = replace(image.opened, face_index=options.face_index)
    return stage.compute(source_image, options.preprocess, artefacts)


def _too_late(options: RenderOptions, video: VideoFile) -> Iterator[str]:
    """Warnings about gestures after the end of the video."""
    end = video.frames / video.fps
    for cue in options.gestures:
        if cue.at >= end:
            yield f"gesture {cue.name}@{cue.at:g} begins after the end of the video at {end:.1f} s."


def _noting(motion: Iterator[Motion], remarks: list[str]) -> Iterator[Motion]:
    """The windows of a motion. The `warnings` in their records are added to `remarks`."""
    for window in motion:
        remarks += window.record.get("warnings", ())
        yield window
