"""Commands that are imported only when they are called, so that `sadtalker --help` is fast."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

COMMANDS = "sadtalker_service.commands"
"""Entry-point group for commands that engines add. Each entry is a `click.Command`."""


class LazyGroup(click.Group):
    """A group with one module per command. Each module defines the command as `command`."""

    def __init__(self, *args: Any, commands_at: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        """`commands_at`: name -> (module, one line of help)."""
        super().__init__(*args, **kwargs)
        self._commands_at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the given order, then those of the engines, sorted."""
        return [*self._commands_at, *sorted(_of_engines().keys() - self._commands_at.keys())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command, or None if the name is unknown."""
        if cmd_name not in self._commands_at:
            return _load(_of_engines().get(cmd_name))
        command: click.Command = import_module(self._commands_at[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            rows = [(name, text) for name, (_, text) in self._commands_at.items()]
            rows += [
                (name, f"Added by {entry.dist.name if entry.dist else 'another package'}.")
                for name, entry in sorted(_of_engines().items())
                if name not in self._commands_at
            ]
            formatter.write_dl(rows)


def _of_engines() -> dict[str, EntryPoint]:
    """The commands that engines add, by name."""
    return {entry.name: entry for entry in entry_points(group=COMMANDS)}


def _load(entry: EntryPoint | None) -> click.Command | None:
    command = entry.load() if entry else None
    if entry and not isinstance(command, click.Command):
        raise click.ClickException(f"{entry.value} is not a command. It must be a click.Command.")
    return command
