"""SadTalker's option syntax: several numbers after a name, underscores instead of hyphens."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

import click

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


class SeveralNumbers(click.Option):
    """An option that accepts several numbers after its name."""


class SadTalkerCommand(click.Command):
    """A command that accepts hyphens in option names and supports `SeveralNumbers` options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Convert the arguments to click's syntax, then parse them."""
        several = {name for p in self.params if isinstance(p, SeveralNumbers) for name in p.opts}
        return super().parse_args(ctx, list(join_numbers(with_underscores(args), several)))


def with_underscores(args: Sequence[str]) -> list[str]:
    """`--source-image=a-b` becomes `--source_image=a-b`; other arguments stay."""
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


def _are_numbers(text: str) -> bool:
    return all(_NUMBER.fullmatch(piece) for piece in text.strip(",").split(","))
