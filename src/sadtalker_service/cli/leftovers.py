"""Options of SadTalker's `inference.py` that have no effect here.

They are accepted, so that existing scripts keep working. A warning says why they have no effect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

_KEY = "sadtalker_service.cli.leftovers"

_RECONSTRUCTION = "the checkpoints contain one face reconstruction network, and no other can be loaded"
_FACE_MODEL = "no file of the 3D face model is needed, because the part used for face alignment is built in"
_DRAWING = "it is an option for rendering the 3D face model, which is not supported here"


@dataclass(frozen=True)
class Leftover:
    """An option that has no effect."""

    name: str
    why: str
    is_flag: bool = False


LEFTOVERS = (
    Leftover(
        "old_version",
        "the checkpoints of SadTalker's first release are not supported, only those of V0.0.2"
        " (sadtalker models download)",
        is_flag=True,
    ),
    Leftover("net_recon", _RECONSTRUCTION),
    Leftover("init_path", _RECONSTRUCTION),
    Leftover("use_last_fc", _RECONSTRUCTION),
    Leftover("bfm_folder", _FACE_MODEL),
    Leftover("bfm_model", _FACE_MODEL),
    *(Leftover(name, _DRAWING) for name in ("focal", "center", "camera_d", "z_near", "z_far")),
)


def leftover_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with these options. They are hidden and their values are dropped."""
    for leftover in LEFTOVERS:
        function = click.option(
            f"--{leftover.name}",
            is_flag=leftover.is_flag,
            default=None,
            hidden=True,
            expose_value=False,
            callback=_note,
        )(function)
    return function


def leftover_warnings(ctx: click.Context) -> tuple[str, ...]:
    """A warning for each of these options on the command line."""
    given = ctx.meta.get(_KEY, set())
    return tuple(f"{one.name} has no effect: {one.why}." for one in LEFTOVERS if one.name in given)


def _note(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value is not None and value is not False:
        ctx.meta.setdefault(_KEY, set()).add(param.name)
