"""Measure how close the landmarks are to MediaPipe 0.10.21, and the time per image.

    .venv/bin/python benchmarks/landmarks.py [--shared FOLDER] [--astronaut FILE] [--repeats 15] [--json]

Compares with `reference/landmarks/refined478_mediapipe_0_10_21.npz` of the shared folder (`--shared`, the
environment variable SADTALKER_SHARED, or ../shared). Its images are in `fixtures/images`. The eleventh is the
astronaut of scikit-image, read from `--astronaut` if given. Errors are in millimetres in the image plane,
with 90 mm between the outer corners of the eyes. The reference was made with images read by OpenCV, which
drops transparency. All of these images are opaque, so this makes no difference.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.bench.machine import this_machine
from sadtalker_service.faces.landmarker import FaceLandmarker
from sadtalker_service.faces.topology import EYES, LIPS, LOWER_LIP, UPPER_LIP
from sadtalker_service.media.image import decode_image

REPOSITORY = Path(__file__).parents[1]
REFERENCE = "reference/landmarks/refined478_mediapipe_0_10_21.npz"
ASTRONAUT = "skimage_astronaut"
EYE_DISTANCE = 90.0  # mm between the outer corners of the eyes
EYE_POINTS = [i for eye in EYES for i in eye.contour]
LIMITS = {"lips_mean": 0.05, "gap_worst": 0.15, "milliseconds": 50.0}


@dataclass(frozen=True)
class Row:
    """Results for one image. Errors in millimetres, time in milliseconds."""

    picture: str
    size: str
    all_mean: float
    lips_mean: float
    gap_worst: float
    eyes_mean: float
    depth_mean: float
    milliseconds: float
    """Median, from the decoded image to the landmarks, warm."""
    cpu_milliseconds: float
    """The same in thread time, which excludes the time that others use the core."""


def main() -> None:
    options = read_options()
    landmarker = FaceLandmarker()
    rows, missing = [], []
    with np.load(options.shared / REFERENCE) as reference:
        for name in reference.files:
            file = options.astronaut if name == ASTRONAUT else options.shared / "fixtures/images" / name
            if file is None or not file.exists():
                missing.append(name)
                continue
            rows.append(measure(landmarker, name, file.read_bytes(), reference[name], options.repeats))
    report = summary(rows, missing)
    print(json.dumps(report, indent=2) if options.json else table(rows, report))
    sys.exit(0 if report["passed"] else 1)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = Path(os.environ.get("SADTALKER_SHARED", REPOSITORY.parent / "shared"))
    parser.add_argument("--shared", type=Path, default=shared, help="folder with reference/ and fixtures/")
    parser.add_argument("--astronaut", type=Path, help="skimage/data/astronaut.png")
    parser.add_argument("--repeats", type=int, default=15, help="timed runs per image")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


def measure(
    landmarker: FaceLandmarker, name: str, data: bytes, expected: NDArray[np.float32], repeats: int
) -> Row:
    pixels = decode_image(data, max_bytes=10**9, max_pixels=10**9).pixels
    points = landmarker.detect(pixels).landmarks
    times = []
    for _ in range(repeats):
        start = time.perf_counter(), time.thread_time()
        landmarker.detect(pixels)
        times.append((time.perf_counter() - start[0], time.thread_time() - start[1]))
    wall, cpu = np.median(times, axis=0) * 1e3
    unit = np.linalg.norm(expected[33, :2] - expected[263, :2]) / EYE_DISTANCE
    away = np.linalg.norm(points[:, :2] - expected[:, :2], axis=1) / unit
    return Row(
        picture=name,
        size=f"{pixels.shape[1]}x{pixels.shape[0]}",
        all_mean=float(away.mean()),
        lips_mean=float(away[list(LIPS)].mean()),
        gap_worst=float(np.abs(lip_gap(points) - lip_gap(expected)).max() / unit),
        eyes_mean=float(away[EYE_POINTS].mean()),
        depth_mean=float(np.abs(points[:, 2] - expected[:, 2]).mean() / unit),
        milliseconds=float(wall),
        cpu_milliseconds=float(cpu),
    )


def lip_gap(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distances (9,) between the inner edges of the upper and the lower lip."""
    upper, lower = points[list(UPPER_LIP[-1][1:-1]), :2], points[list(LOWER_LIP[-1][1:-1]), :2]
    return np.asarray(np.linalg.norm(lower - upper, axis=1))


def summary(rows: list[Row], missing: list[str]) -> dict[str, object]:
    """The worst gap is over all images. The other errors are means over images."""
    whole = {
        "lips_mean": float(np.mean([row.lips_mean for row in rows])),
        "gap_worst": max(row.gap_worst for row in rows),
        "milliseconds": float(np.median([row.milliseconds for row in rows])),
    }
    return {
        "machine": asdict(this_machine()),
        "pictures": [asdict(row) for row in rows],
        "missing": missing,
        "whole": whole,
        "limits": LIMITS,
        "passed": all(whole[name] <= limit for name, limit in LIMITS.items()),
    }


def table(rows: list[Row], report: dict[str, object]) -> str:
    lines = [
        f"{report['machine']['processor']}, one thread; errors in mm",
        f"{'picture':<20}{'size':>10}{'all':>8}{'lips':>8}{'gap max':>9}{'eyes':>8}{'depth':>8}"
        f"{'ms':>7}{'cpu ms':>8}",
    ]
    lines += [
        f"{row.picture:<20}{row.size:>10}{row.all_mean:>8.4f}{row.lips_mean:>8.4f}{row.gap_worst:>9.4f}"
        f"{row.eyes_mean:>8.4f}{row.depth_mean:>8.4f}{row.milliseconds:>7.1f}{row.cpu_milliseconds:>8.1f}"
        for row in rows
    ]
    lines += [f"not here: {name}" for name in report["missing"]]
    lines += [f"{name:<14}{report['whole'][name]:>9.4f}   limit {limit}" for name, limit in LIMITS.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
