"""Format the measurements as Markdown. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sadtalker_service.bench.sadtalker.report import Clip, Rendered, Report


def page(report: Report) -> str:
    """Tables in Markdown."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    where = report.device
    yield f"{where.name}, {where.processor}, {where.cores} cores, torch {where.torch} on {where.threads}."
    yield f"Load {where.load} before; the host took {report.stolen:.0%} of the cores' time meanwhile."
    yield "Medians" + (", compiled." if report.compiled else ".")
    yield ""
    for size, work in report.work.items():
        yield (
            f"Multiply-adds of a frame of {size}, in 1e9: {work.original:.1f} in the original's structure,"
            f" {work.reduced:.1f} reduced, {work.tiles:.1f} on tiles."
        )
    for case in report.out_of_memory:
        yield f"Not enough memory: {case.size}, {case.precision}, {case.batch} at once."
    for case in report.left_out:
        yield f"Not measured: {case.size}, {case.precision}, {case.batch} at once."
    for found in report.rendered:
        if found.graph_error:
            case = found.case
            yield (
                f"{case.size}, {case.precision}, {case.batch} at once: with the graph a byte differs by up to"
                f" {found.graph_error}."
            )
    yield ""
    yield from _table(
        "size|type|batch|passes|frames/s|original's|times|CPU, times|ms|direct, ms|shared, ms|CPU, ms|motion"
        "|warp|decoder|bytes|product|share|error|mean|GB|first, s",
        map(_frame_cells, report.rendered),
    )
    if report.clips:
        yield ""
        yield from _table(
            "size|type|batch|video, s|known, s|new, s|encoding alone, s|after, s|beside, s",
            map(_clip_cells, report.clips),
        )


def _frame_cells(found: Rendered) -> Iterator[str]:
    case, times = found.case, (found.times_faster, found.times_less_cpu)
    yield from (str(case.size), case.precision, str(case.batch), found.passes)
    yield f"{found.frames_per_second:.3g}"
    yield f"{found.original:.3g}" if found.original else ""
    yield from (f"{value:.2f}" if value else "" for value in times)
    yield from (
        f"{found.milliseconds:.4g}",
        f"{found.direct:.4g}" if found.direct else "",
        f"{found.shared:.4g}" if found.shared else "",
        f"{found.cpu:.4g}",
    )
    yield from (f"{value:.3g}" for value in found.stages.values())
    yield f"{found.product:.3g}e12"
    yield from (f"{found.share:.0%}", f"{found.largest_error:.1e}", f"{found.mean_error:.1e}")
    yield from (f"{found.memory:.1f}", f"{found.first:.1f}")


def _clip_cells(clip: Clip) -> Iterator[str]:
    case, encoded = clip.case, clip.encoded
    yield from (str(case.size), case.precision, str(case.batch), f"{clip.frames / 25:.2f}")
    yield from (f"{clip.known:.2f}", f"{clip.new:.2f}")
    ways = (encoded.alone, encoded.after, encoded.beside) if encoded else ()
    yield from (f"{seconds:.2f}" for seconds in ways)
    yield from ("" for _ in range(3 - len(ways)))


def _table(head: str, rows: Iterable[Iterable[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head.split("|")) + " |"
    yield "|---" * len(head.split("|")) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
