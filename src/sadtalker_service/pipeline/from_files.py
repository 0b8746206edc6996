"""From a source image and driven audio in files to a video."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from sadtalker_service.domain import HEIGHT_CAP, Speech, SpeechFile, SpokenText, VideoResult
from sadtalker_service.engines.port import Engine
from sadtalker_service.errors import InvalidOption
from sadtalker_service.files import check_writable
from sadtalker_service.media.audio import open_speech
from sadtalker_service.media.stopwatch import Stopwatch
from sadtalker_service.options import RenderOptions
from sadtalker_service.options.render_options import DEFAULTS
from sadtalker_service.pipeline.height import height_remark
from sadtalker_service.pipeline.marking import marker_of
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.pipeline.progress import Listener, Reporter
from sadtalker_service.pipeline.references import ReferenceVideo, ReferenceVideos
from sadtalker_service.pipeline.sources import lazy_source_image, read_backdrop
from sadtalker_service.pipeline.transcripts import with_words
from sadtalker_service.pipeline.validation import apply_to_engine
from sadtalker_service.settings import Settings
from sadtalker_service.store.cache import ArtefactCache
from sadtalker_service.store.directory import DirectoryCache


def make_video(
    engine: Engine,
    source_image: Path | str,
    driven_audio: Path | str | None,
    output: Path | str,
    options: RenderOptions = DEFAULTS,
    *,
    idle_seconds: float = 0.0,
    ref_eyeblink: Path | str | None = None,
    ref_pose: Path | str | None = None,
    background_picture: Path | str | None = None,
    cache: ArtefactCache | None = None,
    on_progress: Listener | None = None,
    warnings: tuple[str, ...] = (),
    explain_height: bool = False,
    text: SpokenText | None = None,
    transcript: str = "",
) -> VideoResult:
    """Make a video of the person in `source_image` speaking `driven_audio` or `text`.

    If `driven_audio` is None, the person idles for `idle_seconds`. `background_picture` is shown behind the
    person, in place of `options.background`.

    `cache` keeps the artefacts; the default is the folder from the settings. `on_progress` receives the
    progress. `warnings` come before those of the video. With `explain_height`, a video with fewer lines
    than the quality allows gets a warning that says why.

    Raises `InvalidOption`, `UnsupportedByEngine`, `NoFaceFound`, `OutputError` and the errors of decoding
    (`UnreadableImage`, `AudioTooLarge`, ...). After an error there is no file.
    """
    settings = engine.settings
    backdrop = None
    if background_picture is not None:
        picture = read_backdrop(Path(background_picture), settings)
        backdrop, options = picture.pixels, replace(options, background=picture.image_hash)
    references = {"ref_eyeblink": ref_eyeblink, "ref_pose": ref_pose}
    applied = apply_to_engine(engine, options, {name for name, path in references.items() if path})
    if [driven_audio is not None, text is not None, idle_seconds != 0.0].count(True) != 1:
        raise InvalidOption(
            "Give either driven_audio (an audio file) or idle (seconds of silence) or text, not several.",
            param="driven_audio",
        )
    if idle_seconds > settings.max_idle_seconds:
        raise InvalidOption(f"idle may be at most {settings.max_idle_seconds:g} seconds.", param="idle")
    check_writable(Path(output))
    videos = ReferenceVideos(
        *(ReferenceVideo.of_file(Path(path), name) if path else None for name, path in references.items())
    )
    pipeline = Pipeline(
        engine, cache or open_cache(settings), reporter=Reporter(on_progress), marker=marker_of(settings)
    )
    if driven_audio:
        engine.expect_speech()
    watch, computation = Stopwatch(pipeline.clock), pipeline.computation()
    check, threads = pipeline.reporter.check, settings.voice_threads
    speech: Speech | SpeechFile | None = None
    with watch("decode"):
        image = lazy_source_image(Path(source_image), settings, pipeline.cache)
        if driven_audio:
            speech = open_speech(
                Path(driven_audio),
                max_bytes=settings.max_audio_bytes,
                max_seconds=settings.max_audio_seconds,
                audio_track=applied.options.audio_track,
            )
    with TemporaryDirectory() as folder:
        if text:
            # imported only here, because driven audio needs no voices
            from sadtalker_service.pipeline.spoken import speak_text  # noqa: PLC0415

            pipeline.reporter.stage("voice")
            with watch("voice"):
                speech = speak_text(text, Path(folder, "speech.wav"), computation, check, threads)
        elif speech and (transcript or applied.options.captions):
            with watch("alignment"):
                speech = with_words(speech, transcript, computation, check, threads)
        with pipeline.hearing(speech, applied.options) if speech else nullcontext() as hearing:
            result = pipeline.render(
                pipeline.prepare(image, applied.options),
                speech,
                applied.options,
                Path(output),
                references=videos,
                backdrop=backdrop,
                idle_seconds=idle_seconds,
                warnings=(*warnings, *applied.warnings),
                hearing=hearing,
            )
    missing = explain_height and result.height < HEIGHT_CAP[options.quality]
    remark = height_remark(applied.options, image.opened.size, made=result.height) if missing else None
    return replace(
        result,
        seconds={**watch.seconds, **result.seconds},
        total_seconds=sum(watch.seconds.values()) + result.total_seconds,
        warnings=(*result.warnings, remark) if remark else result.warnings,
    )


def open_cache(settings: Settings, folder: Path | None = None) -> DirectoryCache:
    """Open the cache in `folder`; the default is a folder inside `DATA_DIR`."""
    return DirectoryCache(folder or settings.data_dir / "cache", settings.cache_max_bytes)
