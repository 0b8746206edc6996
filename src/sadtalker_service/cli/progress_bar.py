"""A progress bar with frames per second and time left, shown only at a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from sadtalker_service.domain import Progress as Moment
from sadtalker_service.pipeline.progress import Listener


@contextmanager
def progress_bar(*, wanted: bool) -> Iterator[Listener | None]:
    """Context manager that yields a listener drawing on standard error, or None if that is no terminal."""
    console = Console(stderr=True)
    if not (wanted and console.is_terminal):
        yield None
        return
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("decode", total=None, speed="")

        def show(moment: Moment) -> None:
            bar.update(
                task,
                description=moment.stage,
                completed=moment.frame,
                total=moment.total or None,
                speed=_speed(moment),
            )

        yield show


def _speed(moment: Moment) -> str:
    if moment.eta_seconds is None:
        return ""
    minutes, seconds = divmod(round(moment.eta_seconds), 60)
    return f"{moment.fps:.0f} frames/s, {minutes}:{seconds:02d} left"
