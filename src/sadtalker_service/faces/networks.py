"""Load the networks that the package ships. They are verified and run by onnxruntime on one core."""

from __future__ import annotations

import hashlib
import json
import zipfile
from importlib.resources import files
from io import BytesIO
from typing import Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sadtalker_service.errors import EngineUnavailable

NetworkName = Literal["short_range", "full_range", "landmarks"]
CONTAINER = "face_models.zip"
PERSON_MASK = "person_mask.onnx"
THREADS = 1
"""The graphs are so small (1-6 ms) that a second thread costs more than it saves."""


class Network:
    """One network. Safe to call from several threads at once."""

    def __init__(self, graph: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.inter_op_num_threads = THREADS
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.outputs = tuple(output.name for output in self._session.get_outputs())

    def __call__(self, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network on float32 (n, n, 3) RGB in its own range and return the named outputs."""
        return dict(zip(self.outputs, self._session.run(None, {"image": image[None]}), strict=True))


def load_networks(*names: NetworkName) -> tuple[Network, ...]:
    """Load networks of faces by name.

    Raises EngineUnavailable if the model file is not the one that was shipped.
    """
    with zipfile.ZipFile(BytesIO(_verified(CONTAINER))) as archive:
        return tuple(Network(archive.read(f"{name}.onnx")) for name in names)


def load_person_mask() -> Network:
    """Load the network that tells a person from the background: `image` 0..1 -> `mask` (256, 256), 0..1.

    Raises EngineUnavailable if the model file is not the one that was shipped.
    """
    return Network(_verified(PERSON_MASK))


def _verified(name: str) -> bytes:
    models = files(__package__) / "models"
    data = (models / name).read_bytes()
    expected = json.loads((models / "ORIGIN.json").read_text())["files"][name]["sha256"]
    digest = hashlib.sha256(data).hexdigest()
    if digest != expected:
        raise EngineUnavailable(
            f"The face models {models / name} are damaged (SHA-256 {digest}, expected {expected}). "
            "Install the package again."
        )
    return data
