"""Format the measurements as a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sadtalker_service.bench.machine import Machine
from sadtalker_service.bench.memory import MemoryUse
from sadtalker_service.bench.mesh import Measured, Times
from sadtalker_service.errors import InvalidOption
from sadtalker_service.files import output_errors, whole_file

BEGIN, END = "<!-- sadtalker bench mesh: begin -->", "<!-- sadtalker bench mesh: end -->"

_BESIDE = ("encode", "sound", "mux", "starve")
"""Stages of the encoder's thread, which run in parallel to the others."""


def page(machine: Machine, stolen: float, measured: Sequence[Measured], memory: Sequence[MemoryUse]) -> str:
    """Tables in Markdown. `stolen` is the share of the cores' time that the host took away, 0..1."""
    return "\n".join(_lines(machine, stolen, measured, memory))


def update(path: Path, text: str) -> None:
    """Put `text` between the markers in the file. Raises `InvalidOption` if it has no markers."""
    with output_errors(path):
        old = path.read_text()
    head, begin, rest = old.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise InvalidOption(f"{path} has no lines {BEGIN} and {END}.", param="update")
    with whole_file(path) as unfinished, output_errors(path):
        unfinished.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")


def _lines(
    machine: Machine, stolen: float, measured: Sequence[Measured], memory: Sequence[MemoryUse]
) -> Iterator[str]:
    yield f"{machine.processor}, {machine.cores} cores, Python {machine.python}, {machine.packages}."
    yield f"Load {machine.load} before; the host took {stolen:.0%} of the cores' time meanwhile."
    yield "Medians; **x** is times faster than real time, CPU is all threads together."
    yield ""
    yield from _table(
        ("", *(m.case for m in measured)),
        [
            ("video", *(f"{m.video}, {m.video_seconds:.1f} s" for m in measured)),
            ("the command, fresh process", *(_times(m, m.cold) for m in measured)),
            ("the same work in a warm process", *(_times(m, m.warm) for m in measured)),
            ("avatar and driven audio cached", *(_times(m, m.cached) for m in measured)),
            ("limit: writing the same frames", *(_times(m, m.writing) for m in measured)),
            ("source image to avatar", *(f"{m.preparation:.2f} s" for m in measured)),
            ("cache of an avatar", *(f"{m.avatar_bytes / 1e6:.1f} MB" for m in measured)),
            ("its previews", *(f"{m.preview_bytes / 1e6:.1f} MB" for m in measured)),
        ],
    )
    yield ""
    yield "Stages in a warm process, nothing cached, seconds (milliseconds per frame):"
    yield ""
    names = list(dict.fromkeys(name for m in measured for name in m.stages))
    yield from _table(("stage", *(m.case for m in measured)), [_stage(name, measured) for name in names])
    if memory:
        yield ""
        yield "Peak memory of the command, close-up:"
        yield ""
        yield from _table(
            ("video", "peak"), [(f"{m.video_seconds} s", f"{m.peak_bytes / 1e6:.0f} MB") for m in memory]
        )


def _stage(name: str, measured: Sequence[Measured]) -> tuple[str, ...]:
    cells = [
        f"{m.stages[name]:.3f} ({1000 * m.stages[name] / m.frames:.2f})" if name in m.stages else ""
        for m in measured
    ]
    return (f"{name} (beside)" if name in _BESIDE else name, *cells)


def _times(measured: Measured, times: Times) -> str:
    return f"**{measured.video_seconds / times.wall:.1f}x** ({times.wall:.2f} s, CPU {times.cpu:.2f} s)"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(row)} |"
