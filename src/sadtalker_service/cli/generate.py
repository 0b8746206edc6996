"""`sadtalker generate`: make a video file from local files, with SadTalker's option names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from sadtalker_service.cli.errors_as_json import errors_as_json
from sadtalker_service.cli.leftovers import leftover_options, leftover_warnings
from sadtalker_service.cli.options import GenerateOptions, generate_options
from sadtalker_service.cli.output_file import output_file, read_transcript
from sadtalker_service.cli.progress_bar import progress_bar
from sadtalker_service.cli.spelling import SadTalkerCommand
from sadtalker_service.domain import SpokenText, VideoResult
from sadtalker_service.engines.port import Engine
from sadtalker_service.engines.registry import AUTO, FALLBACK, load_engine
from sadtalker_service.errors import InvalidOption
from sadtalker_service.files import output_errors
from sadtalker_service.media.cues import to_srt, to_vtt
from sadtalker_service.pipeline.progress import Listener
from sadtalker_service.pipeline.validation import apply_to_engine
from sadtalker_service.settings import Settings, get_settings
from sadtalker_service.speech.captions.lines import cues_of
from sadtalker_service.speech.word_aligner import start_word_aligner
from sadtalker_service.store.cache import NoCache
from sadtalker_service.telemetry.logs import command_logging

_EXAMPLES = """\b
Examples:
  sadtalker generate --source_image me.jpg --driven_audio hello.wav --output talking.mp4
  sadtalker generate --source_image me.jpg --driven_audio hello.wav --preprocess crop --still
  sadtalker generate --source_image me.jpg --driven_audio hello.wav --input_yaw -10 20 0 --pose_style 12
  sadtalker generate --source_image me.jpg --driven_audio hello.wav --gestures nod_yes@1.5,smile@3
  sadtalker generate --source_image me.jpg --text "Hello, this is me." --voice bf_emma
  sadtalker generate --source_image me.jpg --idle 10 --quality high --output idle.mp4
  sadtalker generate --source_image me.jpg --driven_audio hello.wav --json

Option names also work with hyphens: --source-image.
"""


@click.command("generate", cls=SadTalkerCommand, epilog=_EXAMPLES)
@generate_options
@leftover_options
def command(**given: Any) -> None:
    """Make a talking-head video from a source image and driven audio.

    Needs --source_image and one of --driven_audio, --text and --idle.
    """
    as_json, context = bool(given["as_json"]), click.get_current_context()
    with (
        command_logging(get_settings()),
        errors_as_json(wanted=as_json),
        progress_bar(wanted=not as_json) as listener,
    ):
        options = GenerateOptions.of_command_line(given)
        ignored = leftover_warnings(context)
        asked = context.get_parameter_source("quality") is ParameterSource.COMMANDLINE
        output, result = _generate(options, get_settings(), ignored, listener, explain_height=asked)
    if as_json:
        click.echo(json.dumps(_plain(output, result)))
        return
    for warning in result.warnings:
        click.echo(f"warning: {warning}", err=True)
    if options.verbose:
        click.echo(_details(result), err=True)
    click.echo(_summary(output, result))


def _generate(
    options: GenerateOptions,
    settings: Settings,
    ignored: tuple[str, ...],
    listener: Listener | None,
    *,
    explain_height: bool,
) -> tuple[Path, VideoResult]:
    settings = _changed(settings, options)
    if options.driven_audio and (options.engine or settings.engine) in {AUTO, FALLBACK}:
        start_word_aligner()  # it loads while this process imports
    from sadtalker_service.pipeline.from_files import make_video, open_cache  # noqa: PLC0415

    engine = _engine(options, settings)
    given = {name for name in ("ref_eyeblink", "ref_pose", "checkpoint_dir") if getattr(options, name)}
    applied = apply_to_engine(engine, options.render, given)
    output = output_file(options.output, options.result_dir, options.driven_audio, applied.options.container)
    captions = options.captions_file
    if captions and captions.suffix.lower() not in {".vtt", ".srt"}:
        raise InvalidOption(f"{captions} must end in .vtt or .srt.", param="captions_file")
    result = make_video(
        engine,
        options.source_image,
        options.driven_audio,
        output,
        applied.options,
        idle_seconds=options.idle or 0.0,
        ref_eyeblink=options.ref_eyeblink,
        ref_pose=options.ref_pose,
        background_picture=options.background_picture,
        cache=NoCache() if options.no_cache else open_cache(settings, options.cache_dir),
        on_progress=listener,
        warnings=(*ignored, *applied.warnings),
        explain_height=explain_height,
        text=_text(options, settings),
        transcript=read_transcript(options.transcript),
    )
    if captions:
        _write_captions(captions, result)
    return output, result


def _write_captions(path: Path, result: VideoResult) -> None:
    cues = cues_of(result.words, result.video_seconds)
    if not cues:
        raise InvalidOption(
            "The video has no captions. Give --text, --transcript or --captions.", param="captions_file"
        )
    with output_errors(path):
        path.write_text(to_vtt(cues) if path.suffix.lower() == ".vtt" else to_srt(cues), encoding="utf-8")


def _text(options: GenerateOptions, settings: Settings) -> SpokenText | None:
    if options.text is None:
        return None
    # the voices' dictionaries take a tenth of a second that a recording does not need
    from sadtalker_service.speech.voices.choice import resolve  # noqa: PLC0415

    return resolve(SpokenText(options.text, options.voice, options.rate), options.language, settings.voice)


def _engine(options: GenerateOptions, settings: Settings) -> Engine:
    name = options.engine or settings.engine
    return load_engine(FALLBACK if options.cpu and name == AUTO else name, settings)


def _changed(settings: Settings, options: GenerateOptions) -> Settings:
    """The settings, with the command-line options for the neural engines applied."""
    changes: dict[str, object] = {}
    if options.checkpoint_dir is not None:
        changes["sadtalker_checkpoints_path"] = options.checkpoint_dir
    if options.cpu:
        changes["sadtalker_device"] = "cpu"
    return settings.model_copy(update=changes)


def _plain(output: Path, result: VideoResult) -> dict[str, Any]:
    """The result as a JSON-compatible dict. Floats have six decimals, which is microseconds for times."""
    values = result.to_json()
    values["seconds"] = {stage: round(seconds, 6) for stage, seconds in values["seconds"].items()}
    values |= {"output": str(output), "real_time_factor": result.real_time_factor}
    values["wall_seconds"] = values.pop("total_seconds")
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in values.items()}


def _summary(output: Path, report: VideoResult) -> str:
    beside = ("starve", "wait", "sound", "mux")
    stages = [f"{n} {s:.2f}" for n, s in report.seconds.items() if s >= 0.005 and n not in beside]
    cached = f", {len(report.cache_hits)} from the cache" if report.cache_hits else ""
    return (
        f"{output}: {report.frames} frames, {report.video_seconds:.1f} s "
        f"in {report.total_seconds:.2f} s, {report.real_time_factor:.1f} times real time "
        f"({', '.join(stages)}{cached})"
    )


def _details(report: VideoResult) -> str:
    lines = [f"engine    {report.engine}"]
    lines += [
        f"picture   {report.width}x{report.height} at {report.fps} fps, {report.size_bytes / 1e6:.2f} MB"
    ]
    lines += [f"cache     hits: {_list(report.cache_hits)}; computed: {_list(report.cache_misses)}"]
    lines += [f"{seconds:8.3f} s {stage}" for stage, seconds in report.seconds.items()]
    return "\n".join(lines)


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
