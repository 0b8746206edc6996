"""The options of `sadtalker generate`: video options under SadTalker's names, and command options."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sadtalker_service.cli.spelling import SeveralNumbers
from sadtalker_service.options import RenderOptions
from sadtalker_service.options.render_options import OPTION_SCHEMA

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_METAVARS = {
    "integer": "INTEGER",
    "number": "FLOAT",
    "angles": "DEGREES...",
    "gestures": "NAME@SECONDS,...",
    "background": "COLOUR|FILE",
}


@dataclass(frozen=True)
class GenerateOptions:
    """The typed command line. `pipeline.validation` checks it against the engine."""

    render: RenderOptions
    source_image: Path
    background_picture: Path | None
    driven_audio: Path | None
    idle: float | None
    text: str | None
    voice: str
    language: str
    rate: float
    transcript: Path | None
    captions_file: Path | None
    output: Path | None
    result_dir: Path
    engine: str | None
    ref_eyeblink: Path | None
    ref_pose: Path | None
    checkpoint_dir: Path | None
    cpu: bool
    no_cache: bool
    cache_dir: Path | None
    as_json: bool
    verbose: bool

    @classmethod
    def of_command_line(cls, given: Mapping[str, Any]) -> GenerateOptions:
        """Build the options from click's values. Raises `InvalidOption`."""
        render = {name: value for name, value in given.items() if name in OPTION_SCHEMA and value is not None}
        rest = {name: value for name, value in given.items() if name not in OPTION_SCHEMA}
        picture = picture_of(render)
        return cls(RenderOptions(**render), background_picture=picture, **rest)


def picture_of(render: dict[str, Any]) -> Path | None:
    """The file that the option `background` names. It is taken out of `render` then."""
    path = Path(render.get("background", ""))
    if not path.is_file():
        return None
    del render["background"]
    return path


def video_options(without: Container[str] = ()) -> Iterator[Callable[..., Any]]:
    """The video options as `RenderOptions` declares them, which also parses their values."""
    for name, schema in OPTION_SCHEMA.items():
        if name in without:
            continue
        kind = schema.get("format", schema["type"])
        choice, unset = kind == "string", schema["default"] in (None, [])
        yield click.option(
            f"--{name}",
            cls=SeveralNumbers if kind == "angles" else click.Option,
            is_flag=kind == "boolean",
            default=None if unset else schema["default"],
            show_default=not unset and kind != "boolean",
            type=click.Choice(schema["enum"], case_sensitive=False) if choice else click.UNPROCESSED,
            metavar=None if choice else _METAVARS.get(kind),
            help=schema["description"],
        )


IMAGE_HELP = "Image of a face: JPEG, PNG, WebP, HEIC ... A video also works: its best frame is used."
AUDIO_HELP = "Speech to lip-sync: any audio or video file."
OUTPUT_OPTIONS = (
    click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="The mp4 file to write."),
    click.option(
        "--result_dir",
        type=_FOLDER,
        default="results",
        show_default=True,
        help="Folder for the video if --output is not given. The file is named after the time.",
    ),
)
_OWN = (
    click.option("--engine", metavar="NAME", help="auto, mesh or another [default: ENGINE]."),
    click.option("--ref_eyeblink", type=FILE, help="Video to copy the blinks from (neural engines)."),
    click.option("--ref_pose", type=FILE, help="Video to copy the head motion from (neural engines)."),
    click.option("--checkpoint_dir", type=_FOLDER, help="Folder of the checkpoints (neural engines)."),
    click.option("--cpu", is_flag=True, help="Do not use a GPU."),
    click.option("--no_cache", is_flag=True, help="Recompute everything and store nothing."),
    click.option("--cache_dir", type=_FOLDER, help="Folder of the cache [default: cache in DATA_DIR]."),
    click.option("--json", "as_json", is_flag=True, help="Print a JSON report."),
    click.option("--verbose", is_flag=True, help="Show the time of every stage."),
)
SPEECH_OPTIONS = (
    click.option("--driven_audio", type=FILE, help=AUDIO_HELP),
    click.option("--text", help="Text to be spoken, instead of --driven_audio: plain, or with SSML."),
    click.option("--voice", default="", metavar="ID", help="Voice of --text: `sadtalker say --list`."),
    click.option("--language", default="", metavar="TAG", help="Language of --text, instead of a voice."),
    click.option("--rate", type=float, default=1.0, show_default=True, help="How fast --text is spoken."),
    click.option("--transcript", type=FILE, help="Text file with the words of --driven_audio, for captions."),
    click.option(
        "--captions_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write the captions too: .vtt or .srt.",
    ),
)
_FILES = (
    click.option("--source_image", type=FILE, required=True, help=IMAGE_HELP),
    *SPEECH_OPTIONS,
    click.option(
        "--idle",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Length of a silent idle video, instead of --driven_audio.",
    ),
    *OUTPUT_OPTIONS,
)


def generate_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with these options, in this order."""
    return decorated(function, [*_FILES, *video_options(), *_OWN])


def decorated(function: Callable[..., Any], options: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    """`function` with `options`, which `--help` shows in this order."""
    for option in reversed(options):
        function = option(function)
    return function
