"""SadTalker's ways of writing options: several numbers after a name, underscores for hyphens."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeVar

import click

from sadtalker_service.domain import GestureCue, Track
from sadtalker_service.errors import InvalidOption
from sadtalker_service.pipeline.fields import parse_angles, parse_gestures

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)

Value = TypeVar("Value")


class SadTalkerCommand(click.Command):
    """A command whose options may be spelled with hyphens, and may have several numbers for `angles`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Bring the arguments into click's form first."""
        several = {
            name
            for p in self.params
            if isinstance(p, click.Option) and p.callback is angles
            for name in p.opts
        }
        return super().parse_args(ctx, list(join_numbers(with_underscores(args), several)))


def with_underscores(args: Sequence[str]) -> list[str]:
    """`--source-image=a-b` becomes `--source_image=a-b`; what is no option stays."""
    spelled = []
    for arg in args:
        name, equals, value = arg.partition("=")
        spelled.append("--" + name[2:].replace("-", "_") + equals + value if name.startswith("--") else arg)
    return spelled


def join_numbers(args: Sequence[str], several: Collection[str]) -> Iterator[str]:
    """`--input_yaw 0 -30 0` becomes `--input_yaw=0,-30,0` for the options named in `several`."""
    rest = list(args)
    while rest:
        arg = rest.pop(0)
        numbers = []
        while arg in several and rest and _are_numbers(rest[0]):
            numbers.append(rest.pop(0).strip(","))
        yield f"{arg}={','.join(numbers)}" if numbers else arg


def angles(ctx: click.Context, param: click.Parameter, value: str | None) -> Track | None:
    """Callback of an option with angles in degrees: `0,30,0` or `0 30 0`, evenly spread over the video."""
    return None if value is None else _read(parse_angles, ctx, param, value)


def gestures(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[GestureCue, ...]:
    """Callback of the option with gestures and the seconds at which they begin: `nod_yes@1.5,smile@3`."""
    return _read(parse_gestures, ctx, param, value or "")


def _read(parse: Callable[[str, str], Value], ctx: click.Context, param: click.Parameter, text: str) -> Value:
    try:
        return parse(text, param.name or "")
    except InvalidOption as error:
        raise click.BadParameter(error.message, ctx, param) from None


def _are_numbers(text: str) -> bool:
    return all(_NUMBER.fullmatch(piece) for piece in text.strip(",").split(","))
