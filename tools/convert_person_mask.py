"""Make the person mask network of `sadtalker_service.faces` from the MediaPipe 0.10.21 wheel.

The wheel is read as a zip file, never installed. With these tools (Python 3.11) the output is the same, byte
for byte:

    python -m venv convert
    convert/bin/pip install tflite==2.18.0 flatbuffers==25.12.19 onnx==1.23.2 protobuf==7.36.2 numpy==2.4.6
    convert/bin/python tools/convert_person_mask.py mediapipe-0.10.21-....whl person_mask.onnx

person_mask.onnx: image (1, 256, 256, 3) RGB 0..1 -> mask (256, 256), 0 background .. 1 person. The weights
stay in the half precision in which they were published.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import tflite

from tflite_to_onnx import Operator, Translator

MEMBER = "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"
SHA256 = "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c"


class PersonMaskTranslator(Translator):
    """Knows the operators of this network beside those of the face networks."""

    def translate(self) -> Any:
        (source,) = self.lite.inputs
        self.names[source] = self.onnx.add("Transpose", "image", perm=[0, 3, 1, 2])
        for operator in self.lite.operators():
            if operator.kind == "DEQUANTIZE":
                self.constants[operator.outputs[0]] = self.constant(operator.inputs[0]).astype(np.float32)
            else:
                method = getattr(self, f"_{operator.kind.lower()}")
                self.names[operator.outputs[0]] = method(operator)
        (output,) = self.lite.outputs
        shape = self.lite.shape(output)[1:3]
        self.onnx.add("Reshape", self.names[output], self.onnx.indices(*shape), output="mask")
        return self.onnx.model({"image": self.lite.shape(source)}, {"mask": shape})

    def _hard_swish(self, operator: Operator) -> str:
        x = self.names[operator.inputs[0]]
        return self.onnx.add("HardSwish", x)

    def _logistic(self, operator: Operator) -> str:
        return self.onnx.add("Sigmoid", self.names[operator.inputs[0]])

    def _mul(self, operator: Operator) -> str:
        y = self.onnx.add("Mul", *(self.names[t] for t in operator.inputs))
        return self._activate(y, operator.options(tflite.MulOptions).FusedActivationFunction())

    def _average_pool_2d(self, operator: Operator) -> str:
        options = operator.options(tflite.Pool2DOptions)
        size = self.lite.shape(operator.inputs[0])[1:3]
        if (options.FilterHeight(), options.FilterWidth()) != size:
            raise ValueError("only a mean over the whole map is known")
        return self.onnx.add("GlobalAveragePool", self.names[operator.inputs[0]])

    def _convolution2dtransposebias(self, operator: Operator) -> str:
        """Transposed convolution; the options are TfLiteTransposeConvParams: padding, stride x, stride y."""
        _, stride_x, stride_y = np.frombuffer(operator.table.CustomOptionsAsNumpy().tobytes()[:12], "<i4")
        kernel = self.constant(operator.inputs[1])  # (out, h, w, in)
        if kernel.shape[1:3] != (stride_y, stride_x):
            raise ValueError("only kernels that do not overlap are known")
        return self.onnx.add(
            "ConvTranspose",
            self.names[operator.inputs[0]],
            self.onnx.weight(kernel.transpose(3, 0, 1, 2)),
            self.onnx.weight(self.constant(operator.inputs[2]).reshape(-1)),
            strides=[int(stride_y), int(stride_x)],
        )


def main(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        data = archive.read(MEMBER)
    if (digest := hashlib.sha256(data).hexdigest()) != SHA256:
        raise ValueError(f"{MEMBER} has SHA-256 {digest}, not {SHA256}")
    graph = PersonMaskTranslator(data).translate().SerializeToString(deterministic=True)
    target.write_bytes(graph)
    print(hashlib.sha256(graph).hexdigest(), len(graph), target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
