"""`sadtalker generate`: from files to a file, with SadTalker's option names."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from sadtalker_service.cli.cache import open_cache
from sadtalker_service.cli.leftovers import leftover_options, leftover_warnings
from sadtalker_service.cli.options import GenerateOptions, generate_options
from sadtalker_service.cli.progress_bar import progress_bar
from sadtalker_service.cli.spelling import SadTalkerCommand
from sadtalker_service.engines.port import Engine
from sadtalker_service.engines.registry import AUTO, FALLBACK, load_engine
from sadtalker_service.errors import InvalidOption, SadTalkerError
from sadtalker_service.files import check_writable, output_errors
from sadtalker_service.pipeline.from_files import render_files
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.pipeline.progress import Listener, Reporter
from sadtalker_service.pipeline.references import ReferenceVideo, ReferenceVideos
from sadtalker_service.pipeline.report import Report
from sadtalker_service.pipeline.validation import apply_to_engine
from sadtalker_service.settings import Settings, get_settings

_EXAMPLES = """\b
Examples:
  sadtalker generate --source_image me.jpg --driven_audio hello.wav --output talking.mp4
  sadtalker generate --source_image me.jpg --driven_audio hello.wav --preprocess crop --still
  sadtalker generate --source_image me.jpg --driven_audio hello.wav --input_yaw -10 20 0 --pose_style 12
  sadtalker generate --source_image me.jpg --driven_audio hello.wav --gestures nod_yes@1.5,smile@3
  sadtalker generate --source_image me.jpg --idle 10 --quality high --output idle.mp4
  sadtalker generate --source_image me.jpg --driven_audio hello.wav --json

Options may be spelled with hyphens too: --source-image.
"""


@click.command("generate", cls=SadTalkerCommand, epilog=_EXAMPLES)
@generate_options
@leftover_options
def command(**given: Any) -> None:
    """Make the person of a portrait speak a recording.

    Needs --source_image and one of --driven_audio and --idle.
    """
    as_json, context = bool(given["as_json"]), click.get_current_context()
    with _errors_as_json(wanted=as_json), progress_bar(wanted=not as_json) as listener:
        options = GenerateOptions.of_command_line(given)
        ignored = leftover_warnings(context)
        asked = context.get_parameter_source("quality") is ParameterSource.COMMANDLINE
        report = _generate(options, get_settings(), ignored, listener, explain_height=asked)
    if as_json:
        click.echo(json.dumps(report.to_json()))
        return
    for warning in report.warnings:
        click.echo(f"warning: {warning}", err=True)
    if options.verbose:
        click.echo(_details(report), err=True)
    click.echo(_summary(report))


def _generate(
    options: GenerateOptions,
    settings: Settings,
    ignored: tuple[str, ...],
    listener: Listener | None,
    *,
    explain_height: bool,
) -> Report:
    settings = _changed(settings, options)
    engine = _engine(options, settings)
    given = {name for name in ("ref_eyeblink", "ref_pose", "checkpoint_dir") if getattr(options, name)}
    applied = apply_to_engine(engine, options.render, given)
    if (options.driven_audio is None) == (options.idle is None):
        raise InvalidOption("Give one of --driven_audio and --idle.", param="driven_audio")
    if options.idle and options.idle > settings.max_idle_seconds:
        raise InvalidOption(f"--idle may be at most {settings.max_idle_seconds:g} seconds.", param="idle")
    output = _output(options)
    check_writable(output)

    cache = open_cache(settings, options.cache_dir, wanted=not options.no_cache)
    return render_files(
        Pipeline(engine, cache, reporter=Reporter(listener)),
        options.source_image,
        options.driven_audio,
        applied.options,
        output,
        settings=settings,
        references=ReferenceVideos(
            eyeblink=_reference(options.ref_eyeblink, "ref_eyeblink"),
            pose=_reference(options.ref_pose, "ref_pose"),
        ),
        idle_seconds=options.idle or 0.0,
        warnings=(*ignored, *applied.warnings),
        explain_height=explain_height,
    )


def _engine(options: GenerateOptions, settings: Settings) -> Engine:
    name = options.engine or settings.engine
    return load_engine(FALLBACK if options.cpu and name == AUTO else name, settings)


def _changed(settings: Settings, options: GenerateOptions) -> Settings:
    """The settings with what the options say of the neural engines."""
    changes: dict[str, object] = {}
    if options.checkpoint_dir is not None:
        changes["sadtalker_checkpoints_path"] = options.checkpoint_dir
    if options.cpu:
        changes["sadtalker_device"] = "cpu"
    return settings.model_copy(update=changes)


def _reference(path: Path | None, param: str) -> ReferenceVideo | None:
    return None if path is None else ReferenceVideo.of_file(path, param)


def _output(options: GenerateOptions) -> Path:
    """`--output`, or as SadTalker does a name made of the time in `--result_dir`, which is created."""
    if options.output:
        if options.output.suffix.lower() != ".mp4":
            raise InvalidOption(
                f"{options.output} must end in .mp4: no other format is written.", param="output"
            )
        if options.driven_audio and options.output.resolve() == options.driven_audio.resolve():
            raise InvalidOption(f"{options.output} is the recording itself.", param="output")
        return options.output
    path = options.result_dir / time.strftime("%Y_%m_%d_%H.%M.%S.mp4")
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def _errors_as_json(*, wanted: bool) -> Iterator[None]:
    """On standard output the error as JSON, besides the line on standard error."""
    try:
        yield
    except SadTalkerError as error:
        if wanted:
            facts = {"code": error.code, "message": error.message, "param": error.param}
            click.echo(json.dumps({"error": {**facts, "retryable": error.retryable}}))
        raise


def _summary(report: Report) -> str:
    beside = ("starve", "wait", "sound", "mux")
    stages = [f"{n} {s:.2f}" for n, s in report.seconds.items() if s >= 0.005 and n not in beside]
    cached = f", {len(report.cache_hits)} from the cache" if report.cache_hits else ""
    return (
        f"{report.output}: {report.frames} frames, {report.video_seconds:.1f} s "
        f"in {report.wall_seconds:.2f} s, {report.real_time_factor:.1f} times real time "
        f"({', '.join(stages)}{cached})"
    )


def _details(report: Report) -> str:
    lines = [f"engine    {report.engine}"]
    lines += [
        f"picture   {report.width}x{report.height} at {report.fps} fps, {report.size_bytes / 1e6:.2f} MB"
    ]
    lines += [f"cache     had {_list(report.cache_hits)}; computed {_list(report.cache_misses)}"]
    lines += [f"{seconds:8.3f} s {stage}" for stage, seconds in report.seconds.items()]
    return "\n".join(lines)


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "nothing"
