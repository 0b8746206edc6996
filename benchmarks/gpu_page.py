"""Print the results of `benchmarks/gpu.sh` as tables for docs/performance.md.

    python benchmarks/gpu_page.py FOLDER

Reads what is there of checks.json, compiled.json, frames-256.json, frames-512.json and service.json. What is
missing is left out, and named at the end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("checks", "compiled", "frames-256", "frames-512", "service")


def main() -> None:
    folder = Path(sys.argv[1])
    found = {name: read(folder / f"{name}.json") for name in NAMES}
    print("\n".join(lines(found)))


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.exists() else {}


def lines(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield from heading(found)
    yield from ("", "| what | measured |", "|---|---|")
    for name in ("frames-256", "frames-512"):
        yield from frames(found[name])
    yield from service(found["service"])
    yield from ("", "| check | result |", "|---|---|")
    yield from checks(found["checks"])
    yield from passes({**found["checks"].get("passes", {}), **found["compiled"].get("compiled", {})})
    missing = [name for name, results in found.items() if not results]
    if missing:
        yield from ("", f"Not measured: {', '.join(missing)}.")


def heading(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name in ("frames-256", "frames-512"):
        if device := found[name].get("device"):
            yield (
                f"{device['name']}, {device['processor']}, {device['cores']} cores, torch {device['torch']},"
                " synthetic checkpoints."
            )
            return
    yield f"{found['checks'].get('device', 'Unknown device')}, torch {found['checks'].get('torch', '?')}."


def frames(report: dict[str, Any]) -> Iterator[str]:
    for one in sorted(report.get("rendered", ()), key=lambda one: -one["case"]["batch"]):
        case = one["case"]
        what = f"{case['size']}, {case['precision']}, batch {case['batch']}"
        yield f"| {what}, {one['passes']} passes | **{one['frames_per_second']:.0f} frames/s** |"
        if one["direct"]:
            yield f"| {what}, without a graph | {1000 / one['direct']:.0f} frames/s |"
        if one["shared"]:
            yield f"| {what}, each frame of another video | {1000 / one['shared']:.0f} frames/s |"
        if one["original"]:
            yield (
                f"| {case['size']}, the original's structure, TF32, batch 2, in turns with it |"
                f" {one['original']:.0f} frames/s, {one['frames_per_second'] / one['original']:.1f} times |"
            )
        yield f"| {what}: memory | {one['memory']:.1f} GB |"
    for clip in report.get("clips", ()):
        what = f"{clip['case']['size']}, a clip of {clip['frames'] / 25:.2g} s"
        yield f"| {what}, known / new audio, networks alone | {clip['known']:.2f} / {clip['new']:.2f} s |"
        if encoded := clip["encoded"]:
            yield f"| {what}, new audio, encoded by x264 beside | {encoded['beside']:.2f} s |"


def service(found: dict[str, Any]) -> Iterator[str]:
    named = {
        "ready": "service ready after its start",
        "avatar": "source image to avatar",
        "new_audio_median": "a clip, new audio, known avatar, through the service",
        "first_picture_median": "first picture of the stream, new audio, known avatar",
        "repeated": "equal request again",
    }
    for key, what in named.items():
        if key in found:
            yield f"| {what} | {found[key]:.3g} s |"
    if together := found.get("at_once"):
        yield (
            f"| {together['requests']} clips at once, {found['workers']} workers |"
            f" {together['seconds']:.1f} s, {together['frames_per_second']:.0f} frames/s in all |"
        )


def checks(found: dict[str, Any]) -> Iterator[str]:
    for name, errors in found.get("goldens", {}).items():
        if name == "held":
            continue
        yield (
            f"| golden frame of 256, {name}: largest / mean difference |"
            f" {errors['picture largest']:.1e} / {errors['picture mean']:.1e},"
            f" {'held' if errors['held'] else '**missed**'} |"
        )
    for batch, graph in found.get("graphs", {}).items():
        if batch == "failure":
            yield f"| capture of graphs | **failed: {graph}** |"
            continue
        times = graph["milliseconds"]
        yield (
            f"| graph of {batch}: captured in, memory, largest difference of a byte, ms with / without |"
            f" {graph['capture_seconds']:.1f} s, {graph['gigabytes']:.1f} GB, {graph['largest_difference']},"
            f" {times['graph']:.2f} / {times['direct']:.2f} |"
        )
    if moved := found.get("transfers"):
        alone = ", ".join(f"{name} {time:.2f} ms" for name, time in moved["milliseconds"].items())
        yield f"| pixels of a batch to the host | {alone} |"
        if times := moved.get("milliseconds_per_batch"):
            yield (
                f"| batches of {moved['batch']} one after the other / overlapping |"
                f" {times['apart']:.2f} / {times['overlapping']:.2f} ms |"
            )


def passes(found: dict[str, Any]) -> Iterator[str]:
    for batch, choice in found.items():
        times = ", ".join(f"{name} {time:.2f}" for name, time in choice["milliseconds_per_frame"].items())
        unusable = "".join(f"; {name} unusable: {why}" for name, why in choice["unusable"].items())
        what = f"passes, batch {batch}, ms per frame without a graph"
        yield f"| {what} | {times}: {choice['chosen']} chosen{unusable} |"


if __name__ == "__main__":
    main()
