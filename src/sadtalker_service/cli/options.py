"""The options of `sadtalker generate`: SadTalker's, under its names, and ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sadtalker_service.cli.spelling import angles, gestures
from sadtalker_service.domain import (
    PREPROCESS_MODES,
    QUALITIES,
    GestureCue,
    PreprocessMode,
    Quality,
    Style,
    Track,
)
from sadtalker_service.pipeline.wishes import BACKGROUND_ENHANCERS, ENHANCERS, FRAME_RATES, Extras

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@dataclass(frozen=True)
class GenerateOptions:
    """The command line, typed. Ranges are checked by `pipeline.wishes`, which knows the engine."""

    source_image: Path
    driven_audio: Path | None
    idle: float | None
    output: Path | None
    result_dir: Path
    face_index: int
    preprocess: PreprocessMode
    still: bool
    expression_scale: float
    pose_style: int
    size: int | None
    input_yaw: Track | None
    input_pitch: Track | None
    input_roll: Track | None
    gestures: tuple[GestureCue, ...]
    quality: Quality
    fps: int
    seed: int
    engine: str | None
    enhancer: str | None
    background_enhancer: str | None
    ref_eyeblink: Path | None
    ref_pose: Path | None
    batch_size: int | None
    checkpoint_dir: Path | None
    face3dvis: bool
    cpu: bool
    no_cache: bool
    cache_dir: Path | None
    as_json: bool
    verbose: bool

    def style(self, default_size: int) -> Style:
        """What is a matter of style; `default_size` is the engine's."""
        return Style(
            preprocess=self.preprocess,
            still=self.still,
            expression_scale=self.expression_scale,
            pose_style=self.pose_style,
            size=default_size if self.size is None else self.size,
            quality=self.quality,
            fps=self.fps,
            input_yaw=self.input_yaw,
            input_pitch=self.input_pitch,
            input_roll=self.input_roll,
            gestures=self.gestures,
            seed=self.seed,
        )

    @property
    def extras(self) -> Extras:
        """What only some engines have."""
        return Extras(
            enhancer=self.enhancer,
            background_enhancer=self.background_enhancer,
            ref_eyeblink=self.ref_eyeblink,
            ref_pose=self.ref_pose,
            batch_size=self.batch_size,
            checkpoint_dir=self.checkpoint_dir,
            face3dvis=self.face3dvis,
        )


_OPTIONS = (
    click.option(
        "--source_image",
        type=_FILE,
        required=True,
        help="Portrait: JPEG, PNG, WebP, HEIC ...; or a video, of which the best frame is taken.",
    ),
    click.option(
        "--face_index",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Which face speaks, where there are several: 0 the largest.",
    ),
    click.option("--driven_audio", type=_FILE, help="Recording of speech: any audio or video file."),
    click.option(
        "--idle",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Instead of a recording: so many seconds of the person being silent.",
    ),
    click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="The video to write."),
    click.option(
        "--result_dir",
        type=_FOLDER,
        default="results",
        show_default=True,
        help="Without --output: folder for a video named after the time.",
    ),
    click.option(
        "--preprocess",
        type=click.Choice(PREPROCESS_MODES),
        default="full",
        show_default=True,
        help="crop, extcrop: a close-up. resize: the picture made square. full, extfull: the whole picture.",
    ),
    click.option("--still", is_flag=True, help="Keep the head still; it blinks all the same."),
    click.option(
        "--expression_scale",
        type=float,
        default=1.0,
        show_default=True,
        help="Liveliness of the face, 0 to 3.",
    ),
    click.option(
        "--pose_style", type=int, default=0, show_default=True, help="Style of head motion, 0 to 45."
    ),
    click.option("--size", type=int, help="Side of a close-up, pixels [default: the engine's]."),
    click.option(
        "--input_yaw", callback=angles, metavar="DEGREES...", help="Turn of the head over the video."
    ),
    click.option("--input_pitch", callback=angles, metavar="DEGREES...", help="Nod of the head."),
    click.option("--input_roll", callback=angles, metavar="DEGREES...", help="Tilt of the head."),
    click.option(
        "--gestures", callback=gestures, metavar="NAME@SECONDS,...", help="Gestures and when they begin."
    ),
    click.option(
        "--quality",
        type=click.Choice(QUALITIES),
        default="medium",
        show_default=True,
        help="Height of at most 480, 720 or 1080 pixels, and effort of the encoder.",
    ),
    click.option(
        "--fps",
        type=int,
        default=25,
        show_default=True,
        help=f"Frames per second: {', '.join(map(str, FRAME_RATES))}.",
    ),
    click.option("--seed", type=int, default=0, show_default=True, help="Equal seeds give equal videos."),
    click.option("--engine", metavar="NAME", help="auto, mesh or another [default: ENGINE]."),
    click.option(
        "--enhancer",
        type=click.Choice(ENHANCERS, case_sensitive=False),
        help="Restore the face (neural engines).",
    ),
    click.option(
        "--background_enhancer",
        type=click.Choice(BACKGROUND_ENHANCERS, case_sensitive=False),
        help="Sharpen the background (neural engines).",
    ),
    click.option("--ref_eyeblink", type=_FILE, help="Video whose blinks are taken over (neural engines)."),
    click.option("--ref_pose", type=_FILE, help="Video whose head motion is taken over (neural engines)."),
    click.option("--batch_size", type=click.IntRange(min=1), help="Frames at once (neural engines)."),
    click.option("--checkpoint_dir", type=_FOLDER, help="Folder of the networks (neural engines)."),
    click.option("--face3dvis", is_flag=True, help="Draw the face model too (neural engines)."),
    click.option("--cpu", is_flag=True, help="Use no GPU."),
    click.option("--no_cache", is_flag=True, help="Compute everything anew, keep nothing."),
    click.option("--cache_dir", type=_FOLDER, help="Folder of the cache [default: cache in DATA_DIR]."),
    click.option("--json", "as_json", is_flag=True, help="Print a report for machines."),
    click.option("--verbose", is_flag=True, help="Tell what every stage took."),
)


def generate_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with these options, in this order."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
