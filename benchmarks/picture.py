"""Measure what a viewer sees of a face: lids, outline, mouth, both ends of the video, and head motion.

    .venv/bin/python benchmarks/picture.py IMAGES AUDIO [--before CHECKOUT] [--seconds 12] [--json]

IMAGES is a folder of source images, AUDIO the driven audio of all of them. Faces are found again in the drawn
frames by the landmark network. `--before` is a checkout of another build, whose values are shown beside.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from picture_measures import MEASURES, Portrait, measure

REPOSITORY = Path(__file__).parents[1]


def main() -> None:
    options = read_options()
    if options.measure:
        sys.stdout.write(json.dumps(measured(options)))
        return
    report = {"now": run(options, REPOSITORY)}
    if options.before:
        report["before"] = run(options, options.before.resolve())
    print(json.dumps(report, indent=1) if options.json else table(report))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("audio", type=Path)
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="another build to compare with")
    parser.add_argument("--seconds", type=float, default=12.0, help="of the audio")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def run(options: argparse.Namespace, build: Path) -> dict[str, dict[str, float | None]]:
    """Image -> measure -> value, with the code of a build."""
    command = [sys.executable, __file__, "--measure", "--seconds", str(options.seconds)]
    files = [str(options.images.resolve()), str(options.audio.resolve())]
    environment = {**os.environ, "PYTHONPATH": str(build / "src")}
    answer = subprocess.run([*command, *files], check=True, stdout=subprocess.PIPE, env=environment)  # noqa: S603
    found: dict[str, dict[str, float | None]] = json.loads(answer.stdout)
    return found


def measured(options: argparse.Namespace) -> dict[str, dict[str, float | None]]:
    pictures = sorted(p for p in options.images.iterdir() if p.suffix in (".png", ".jpg", ".jpeg", ".webp"))
    return {path.stem: measure(Portrait(path, options.audio, options.seconds)) for path in pictures}


def table(report: dict[str, Any]) -> str:
    """Means over all images, and the worst image."""
    lines = ["| measure | now | worst | before | worst |", "|---|---|---|---|---|"]
    for name, words in MEASURES.items():
        cells = [cell for build in ("now", "before") for cell in _cells(report.get(build, {}), name)]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    lines += ["", "| image | " + " | ".join(MEASURES) + " |", "|---" * (len(MEASURES) + 1) + "|"]
    for image, values in report["now"].items():
        before = report.get("before", {}).get(image, {})
        lines.append(
            f"| {image} | "
            + " | ".join(_pair(values.get(name), before.get(name)) for name in MEASURES)
            + " |"
        )
    return "\n".join(lines)


def _cells(images: dict[str, dict[str, float | None]], name: str) -> tuple[str, str]:
    values = [value for row in images.values() if (value := row.get(name)) is not None]
    return (f"{np.mean(values):.2f}", f"{np.max(values):.2f}") if values else ("", "")


def _pair(now: float | None, before: float | None) -> str:
    return " / ".join("-" if value is None else f"{value:.2f}" for value in (now, before))


if __name__ == "__main__":
    main()
