"""Writes the TensorFlow Lite graphs of MediaPipe's face models as ONNX graphs.

Only what these graphs use is known; anything else raises ValueError. Needs `tflite`, `flatbuffers` and
`onnx`, which `convert_face_models.py` says how to get.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import tflite
from flatbuffers import flexbuffers
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 16, 8  # GridSample came with 16
DTYPES = {0: np.float32, 1: np.float16, 2: np.int32, 4: np.int64}
BUILTIN = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}
EYE_CONTOUR = 16  # the first 16 points of an eye's list run around its opening


@dataclass(frozen=True)
class Operator:
    """One operator of a TensorFlow Lite graph; tensors are numbers."""

    kind: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    table: Any

    def options(self, kind: type) -> Any:
        options, union = kind(), self.table.BuiltinOptions()
        options.Init(union.Bytes, union.Pos)
        return options

    def custom_options(self) -> Any:
        return flexbuffers.GetRoot(bytearray(self.table.CustomOptionsAsNumpy().tobytes())).Value


class LiteGraph:
    """Reads the only subgraph of a .tflite file."""

    def __init__(self, data: bytes) -> None:
        self.model = tflite.Model.GetRootAs(data, 0)
        self.graph = self.model.Subgraphs(0)
        self.inputs = tuple(int(t) for t in self.graph.InputsAsNumpy())
        self.outputs = tuple(int(t) for t in self.graph.OutputsAsNumpy())

    def operators(self) -> list[Operator]:
        return [self._operator(self.graph.Operators(i)) for i in range(self.graph.OperatorsLength())]

    def _operator(self, table: Any) -> Operator:
        code = self.model.OperatorCodes(table.OpcodeIndex())
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        kind = code.CustomCode().decode() if BUILTIN[number] == "CUSTOM" else BUILTIN[number]
        inputs, outputs = (tuple(int(t) for t in a) for a in (table.InputsAsNumpy(), table.OutputsAsNumpy()))
        return Operator(kind, code.Version(), inputs, outputs, table)

    def shape(self, tensor: int) -> tuple[int, ...]:
        table = self.graph.Tensors(tensor)
        return tuple(int(n) for n in table.ShapeAsNumpy()) if table.ShapeLength() else ()

    def constant(self, tensor: int) -> np.ndarray:
        table = self.graph.Tensors(tensor)
        values = np.frombuffer(
            self.model.Buffers(table.Buffer()).DataAsNumpy().tobytes(), DTYPES[table.Type()]
        )
        if table.Sparsity() is not None:
            return self._densify(values, table)
        return values.reshape(self.shape(tensor))

    @staticmethod
    def _densify(values: np.ndarray, table: Any) -> np.ndarray:
        """All dimensions dense but the last, which is compressed by rows: the only layout that these files
        have."""
        sparsity = table.Sparsity()
        levels = [sparsity.DimMetadata(i) for i in range(sparsity.DimMetadataLength())]
        shape = tuple(int(n) for n in table.ShapeAsNumpy())
        if sparsity.BlockMapLength() or [level.Format() for level in levels] != [0] * (len(shape) - 1) + [1]:
            raise ValueError(f"unknown sparse layout of {table.Name()}")
        segments, columns = (sparse_indices(levels[-1], name) for name in ("ArraySegments", "ArrayIndices"))
        dense = np.zeros((int(np.prod(shape[:-1])), shape[-1]), values.dtype)
        dense[np.repeat(np.arange(len(dense)), np.diff(segments)), columns] = values
        return dense.reshape(shape)


def sparse_indices(level: Any, name: str) -> np.ndarray:
    vector = (tflite.Int32Vector, tflite.Uint16Vector, tflite.Uint8Vector)[
        getattr(level, f"{name}Type")() - 1
    ]()
    union = getattr(level, name)()
    vector.Init(union.Bytes, union.Pos)
    return vector.ValuesAsNumpy().astype(np.int64)


class Nodes:
    """Collects the nodes and weights of an ONNX graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, onnx.TensorProto] = {}

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def weight(self, values: Any, dtype: type = np.float32) -> str:
        """A constant; floats that half precision holds exactly are stored so."""
        array, name = np.ascontiguousarray(values, dtype), f"w{len(self.weights)}"
        half = array.astype(np.float16)
        exact = dtype is np.float32 and array.size > 8 and np.array_equal(half.astype(np.float32), array)
        self.weights[name] = numpy_helper.from_array(half if exact else array, name)
        return self.add("Cast", name, to=TensorProto.FLOAT) if exact else name

    def indices(self, *values: int) -> str:
        return self.weight(values, np.int64)

    def slice(self, x: str, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int]) -> str:
        return self.add("Slice", x, self.indices(*starts), self.indices(*ends), self.indices(*axes))

    def swap(self, x: str) -> str:
        """The transpose of the last two of three axes."""
        return self.add("Transpose", x, perm=[0, 2, 1])

    def model(
        self, inputs: dict[str, tuple[int, ...]], outputs: dict[str, tuple[int, ...]]
    ) -> onnx.ModelProto:
        """The checked model, without what none of the outputs needs."""
        needed, nodes = set(outputs), []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                needed |= set(node.input)
                nodes.insert(0, node)
        inout = [
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in values.items()]
            for values in (inputs, outputs)
        ]
        weights = [tensor for name, tensor in self.weights.items() if name in needed]
        graph = helper.make_graph(nodes, "face", *inout, weights)
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model


class CustomOperators(Nodes):
    """The three custom operators (version 2) of the landmark network, by their formulas.

    Points are in pixels of a feature map. `region` finds a rectangle turned like the line between two
    landmarks around a subset of them and gives the 4x4 matrix M that takes a pixel of an output grid into the
    map; `sample` reads the map there; `place` takes points from the frame of the grid back.
    """

    def region(self, points: str, options: dict[str, Any]) -> str:
        """M = Shift(centre) Turn(t) Scale(scale * size / grid) Shift(-grid / 2), (1, 4, 4).

        t is the angle of the line from the left to the right landmark, of which only its cosine and sine are
        needed; centre and size are those of the subset's bounding box in the frame turned by t."""
        grid = np.array([options["output_width"], options["output_height"]], np.float32)
        scale = np.array([options["scale_x"], options["scale_y"]], np.float32)
        if options["target_rotation_radians"] != 0:
            raise ValueError("only a target rotation of 0 is known")
        xy = self.slice(points, [0], [2], [2])
        ends = [
            self.add("Gather", xy, self.indices(options[f"{side}_rotation_idx"]), axis=1)
            for side in ("left", "right")
        ]
        line = self.add("Sub", ends[1], ends[0])
        u = self.add("Div", line, self.add("ReduceL2", line, axes=[2], keepdims=1))  # (cos t, sin t)
        v = self.add("MatMul", u, self.weight([[0, 1], [-1, 0]]))  # (-sin t, cos t)
        turn_back = self.add("Concat", u, v, axis=1)
        turn = self.swap(turn_back)
        subset = self.add("Gather", xy, self.indices(*options["subset_idxs"]), axis=1)
        turned = self.add("MatMul", subset, turn)
        high, low = (self.add(kind, turned, axes=[1], keepdims=1) for kind in ("ReduceMax", "ReduceMin"))
        middle = self.add("Mul", self.add("Add", high, low), self.weight(0.5))
        centre = self.add("MatMul", middle, turn_back)
        step = self.add("Mul", self.add("Sub", high, low), self.weight(scale / grid))
        linear = self.add("Mul", turn, step)  # its columns scaled
        corner = self.add("MatMul", self.weight(grid[None, None] / 2), self.swap(linear))
        shift = self.swap(self.add("Sub", centre, corner))
        rows = self.add("Concat", linear, self.weight(np.zeros((1, 2, 1))), shift, axis=2)
        return self.add("Concat", rows, self.weight([[[0, 0, 1, 0], [0, 0, 0, 1]]]), axis=1)

    def linear_and_shift(self, matrix: str) -> tuple[str, str]:
        """The transposed 2x2 part and the shift as a row, (1, 2, 2) and (1, 1, 2)."""
        linear = self.slice(matrix, [0, 0], [2, 2], [1, 2])
        shift = self.slice(matrix, [0, 3], [2, 4], [1, 2])
        return self.swap(linear), self.swap(shift)

    def place(self, points: str, matrix: str) -> str:
        """p' = A p + b."""
        linear, shift = self.linear_and_shift(matrix)
        return self.add("Add", self.add("MatMul", points, linear), shift)

    def sample(self, features: str, matrix: str, shape: tuple[int, ...], options: dict[str, Any]) -> str:
        """Bilinear sample of (1, C, h, w) at M (j + 0.5, i + 0.5) - 0.5 for each pixel (i, j) of the grid; a
        sample that is not wholly between the centres of the outermost pixels is 0."""
        width, height = options["output_width"], options["output_height"]
        size = np.array([shape[2], shape[1]], np.float32)
        rows, columns = np.mgrid[:height, :width] + 0.5
        pixels = np.stack([columns, rows], -1).reshape(1, -1, 2)
        at = self.place(self.weight(pixels), matrix)
        relative = self.add("Sub", self.add("Mul", at, self.weight(2 / size)), self.weight(1.0))
        grid = self.add("Reshape", relative, self.indices(1, height, width, 2))
        sampled = self.add(
            "GridSample", features, grid, mode="bilinear", padding_mode="zeros", align_corners=0
        )
        above = self.add("GreaterOrEqual", at, self.weight(0.5))
        below = self.add("LessOrEqual", at, self.weight(size - 0.5))
        inside = self.add("Cast", self.add("And", above, below), to=TensorProto.FLOAT)
        mask = self.add("ReduceMin", inside, axes=[2], keepdims=0)
        return self.add("Mul", sampled, self.add("Reshape", mask, self.indices(1, 1, height, width)))


class Translator:
    """Writes a TensorFlow Lite graph as an ONNX graph. Tensors of four axes are carried as (1, C, H, W)."""

    def __init__(self, data: bytes) -> None:
        self.lite = LiteGraph(data)
        self.onnx = CustomOperators()
        self.names: dict[int, str] = {}
        self.constants: dict[int, np.ndarray] = {}
        self.subsets: list[list[int]] = []
        self.placed: list[str] = []

    def translate(self) -> onnx.ModelProto:
        (source,) = self.lite.inputs
        self.names[source] = self.onnx.add("Transpose", "image", perm=[0, 3, 1, 2])
        for operator in self.lite.operators():
            if operator.kind in {"DEQUANTIZE", "DENSIFY"}:
                self.constants[operator.outputs[0]] = self.constant(operator.inputs[0]).astype(np.float32)
            else:
                method = getattr(self, f"_{operator.kind.lower()}")
                self.names[operator.outputs[0]] = method(operator)
        outputs = self._merge_landmarks() if self.placed else self._name_detections()
        return self.onnx.model({"image": self.lite.shape(source)}, outputs)

    def _name_detections(self) -> dict[str, tuple[int, ...]]:
        outputs = {}
        for tensor in self.lite.outputs:
            _, anchors, values = self.lite.shape(tensor)
            name, shape = ("logits", (anchors,)) if values == 1 else ("boxes", (anchors, values))
            self.onnx.add("Reshape", self.names[tensor], self.onnx.indices(*shape), output=name)
            outputs[name] = shape
        return outputs

    def _merge_landmarks(self) -> dict[str, tuple[int, ...]]:
        """The refined x and y replace the mesh's at their subsets; z stays the mesh's, and that of an iris is
        the mean over the contour of its eye."""
        add, indices = self.onnx.add, self.onnx.indices
        mesh = add("Reshape", self.names[self.lite.outputs[0]], indices(1, 468, 3))
        lips, right_eye, right_iris, left_eye, left_iris = self.placed
        source = np.arange(
            478
        )  # rows of the concatenation: mesh 468, lips 80, eyes 71 and 71, irises 5 and 5
        for start, subset in zip((468, 548, 619), self.subsets, strict=True):
            source[subset] = start + np.arange(len(subset))
        source[468:] = np.arange(690, 700)
        flat = self.onnx.slice(mesh, [0], [2], [2])
        refined = add("Concat", flat, lips, right_eye, left_eye, right_iris, left_iris, axis=1)
        xy = add("Gather", refined, indices(*source.tolist()), axis=1)
        depth = self.onnx.slice(mesh, [2], [3], [2])
        irises = []
        for subset in self.subsets[1:]:
            contour = add("Gather", depth, indices(*subset[:EYE_CONTOUR]), axis=1)
            mean = add("ReduceMean", contour, axes=[1], keepdims=1)
            irises.append(add("Expand", mean, indices(1, 5, 1)))
        xyz = add("Concat", xy, add("Concat", depth, *irises, axis=1), axis=2)
        add("Reshape", xyz, indices(478, 3), output="landmarks")
        add("Reshape", self.names[self.lite.outputs[-1]], indices(1), output="presence")
        return {"landmarks": (478, 3), "presence": (1,)}

    def constant(self, tensor: int) -> np.ndarray:
        return self.constants[tensor] if tensor in self.constants else self.lite.constant(tensor)

    def _activate(self, x: str, function: int) -> str:
        if function == tflite.ActivationFunctionType.NONE:
            return x
        if function == tflite.ActivationFunctionType.RELU:
            return self.onnx.add("Relu", x)
        raise ValueError(f"unknown fused activation {function}")

    def _window(self, operator: Operator, height: int, width: int, options: Any) -> dict[str, Any]:
        """Strides, kernel and explicit padding: SAME gives the odd pixel to the end."""
        sizes, strides = (height, width), (options.StrideH(), options.StrideW())
        pads = [0, 0, 0, 0]
        if options.Padding() == tflite.Padding.SAME:
            for axis, (size, stride) in enumerate(zip(sizes, strides, strict=True)):
                length = self.lite.shape(operator.inputs[0])[1 + axis]
                total = max((-(-length // stride) - 1) * stride + size - length, 0)
                pads[axis], pads[axis + 2] = total // 2, total - total // 2
        return {"strides": strides, "kernel_shape": sizes, "pads": pads}

    def _convolve(self, operator: Operator, kernel: np.ndarray, options: Any, group: int) -> str:
        bias = self.onnx.weight(self.constant(operator.inputs[2]).reshape(-1))
        window = self._window(operator, *kernel.shape[2:], options)
        x = self.names[operator.inputs[0]]
        y = self.onnx.add("Conv", x, self.onnx.weight(kernel), bias, group=group, **window)
        return self._activate(y, options.FusedActivationFunction())

    def _conv_2d(self, operator: Operator) -> str:
        kernel = self.constant(operator.inputs[1]).transpose(0, 3, 1, 2)
        return self._convolve(operator, kernel, operator.options(tflite.Conv2DOptions), 1)

    def _depthwise_conv_2d(self, operator: Operator) -> str:
        kernel = self.constant(operator.inputs[1]).transpose(3, 0, 1, 2)
        return self._convolve(operator, kernel, operator.options(tflite.DepthwiseConv2DOptions), len(kernel))

    def _prelu(self, operator: Operator) -> str:
        slope = self.onnx.weight(self.constant(operator.inputs[1]).reshape(-1, 1, 1))
        return self.onnx.add("PRelu", self.names[operator.inputs[0]], slope)

    def _relu(self, operator: Operator) -> str:
        return self.onnx.add("Relu", self.names[operator.inputs[0]])

    def _add(self, operator: Operator) -> str:
        y = self.onnx.add("Add", *(self.names[t] for t in operator.inputs))
        return self._activate(y, operator.options(tflite.AddOptions).FusedActivationFunction())

    def _mul(self, operator: Operator) -> str:
        x, factor = operator.inputs
        return self.onnx.add("Mul", self.names[x], self.onnx.weight(self.constant(factor)))

    def _max_pool_2d(self, operator: Operator) -> str:
        options = operator.options(tflite.Pool2DOptions)
        window = self._window(operator, options.FilterHeight(), options.FilterWidth(), options)
        return self.onnx.add("MaxPool", self.names[operator.inputs[0]], **window)

    def _pad(self, operator: Operator) -> str:
        before, after = self.constant(operator.inputs[1])[[0, 3, 1, 2]].T
        return self.onnx.add("Pad", self.names[operator.inputs[0]], self.onnx.indices(*before, *after))

    def _reshape(self, operator: Operator) -> str:
        x, shape = self.names[operator.inputs[0]], self.lite.shape(operator.outputs[0])
        if len(self.lite.shape(operator.inputs[0])) == 4:
            x = self.onnx.add("Transpose", x, perm=[0, 2, 3, 1])
        if len(shape) == 4 and shape[1:3] != (1, 1):
            raise ValueError(f"reshape to {shape} would need a transpose")
        return self.onnx.add(
            "Reshape", x, self.onnx.indices(*([1, shape[3], 1, 1] if len(shape) == 4 else shape))
        )

    def _concatenation(self, operator: Operator) -> str:
        axis = operator.options(tflite.ConcatenationOptions).Axis()
        if len(self.lite.shape(operator.outputs[0])) == 4:
            raise ValueError("only tensors without a picture layout are concatenated")
        return self.onnx.add("Concat", *(self.names[t] for t in operator.inputs), axis=axis)

    def _strided_slice(self, operator: Operator) -> str:
        if self.lite.shape(operator.inputs[0]) != self.lite.shape(operator.outputs[0]):
            raise ValueError("only a slice that takes everything is known")
        return self.names[operator.inputs[0]]

    def _depth_to_space(self, operator: Operator) -> str:
        block = operator.options(tflite.DepthToSpaceOptions).BlockSize()
        return self.onnx.add("DepthToSpace", self.names[operator.inputs[0]], blocksize=block, mode="DCR")

    def _resize_bilinear(self, operator: Operator) -> str:
        if not operator.options(tflite.ResizeBilinearOptions).HalfPixelCenters():
            raise ValueError("only half-pixel centres are known")
        n, height, width, channels = self.lite.shape(operator.outputs[0])
        sizes = self.onnx.indices(n, channels, height, width)
        x = self.names[operator.inputs[0]]
        return self.onnx.add(
            "Resize", x, "", "", sizes, mode="linear", coordinate_transformation_mode="half_pixel"
        )

    def _landmarks2transformmatrix(self, operator: Operator) -> str:
        require_version_2(operator)
        options = operator.custom_options()
        self.subsets.append(options["subset_idxs"])
        return self.onnx.region(self.names[operator.inputs[0]], options)

    def _transformtensorbilinear(self, operator: Operator) -> str:
        require_version_2(operator)
        features, matrix = operator.inputs
        shape, options = self.lite.shape(features), operator.custom_options()
        return self.onnx.sample(self.names[features], self.names[matrix], shape, options)

    def _transformlandmarks(self, operator: Operator) -> str:
        require_version_2(operator)
        self.placed.append(self.onnx.place(*(self.names[t] for t in operator.inputs)))
        return self.placed[-1]


def require_version_2(operator: Operator) -> None:
    if operator.version != 2:
        raise ValueError(f"{operator.kind} of version {operator.version}: only version 2 is known")
