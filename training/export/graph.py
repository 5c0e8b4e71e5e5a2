"""Nodes and weights of one ONNX graph, with the weights in one external data file."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from inference.bundle import MODEL_DATA_FILE

MICROSOFT = "com.microsoft"
OPSET = 21
_MICROSOFT_OPERATORS = {
    "BiasGelu",
    "FastGelu",
    "GatherBlockQuantized",
    "GroupQueryAttention",
    "MatMulIntegerToFloat",
    "MatMulNBits",
    "QGemm",
}
# ONNX Runtime maps every tensor of the data file into memory on its own.
_PAGE = 4096
_CACHE_LINE = 64


class WeightFile:
    """The data file; several graphs may read the same tensors from it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._tensors: dict[str, TensorProto] = {}

    def tensor(self, name: str, values: npt.NDArray[Any], *, like: str = "") -> TensorProto:
        """Store `values`, or describe what is stored as `like` under another name and shape."""
        if name not in self._tensors:
            values = np.ascontiguousarray(values)
            source = self._tensors[like].external_data if like else self._append(values)
            self._tensors[name] = TensorProto(
                name=name,
                dims=values.shape,
                data_type=helper.np_dtype_to_tensor_dtype(values.dtype),
                data_location=TensorProto.EXTERNAL,
                external_data=source,
            )
        return self._tensors[name]

    def _append(self, values: npt.NDArray[Any]) -> list[onnx.StringStringEntryProto]:
        alignment = _PAGE if values.nbytes >= _PAGE else _CACHE_LINE
        self.data.extend(bytes(-len(self.data) % alignment))
        place = {
            "location": MODEL_DATA_FILE,
            "offset": len(self.data),
            "length": values.nbytes,
        }
        self.data.extend(values.tobytes())
        return [
            onnx.StringStringEntryProto(key=key, value=str(value)) for key, value in place.items()
        ]


class GraphBuilder:
    """Collects a graph; every method returns the name of what it added."""

    def __init__(self, weights: WeightFile) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._made: set[str] = set()
        self._initializers: dict[str, TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, dtype: npt.DTypeLike, shape: list[str | int]) -> str:
        self._inputs.append(_value_info(name, dtype, shape))
        return name

    def output(self, name: str, dtype: npt.DTypeLike, shape: list[str | int] | None) -> str:
        self._outputs.append(_value_info(name, dtype, shape))
        return name

    def node(self, operator: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:
        """Add a node, named after its first output, unless it is there already; an empty input is
        one that is left out."""
        if outputs[0] in self._made:
            return outputs[0]
        self._made.update(outputs)
        domain = MICROSOFT if operator in _MICROSOFT_OPERATORS else ""
        self._nodes.append(
            helper.make_node(
                operator, inputs, outputs, name=outputs[0], domain=domain, **attributes
            )
        )
        return outputs[0]

    def cast(self, given: str, output: str, dtype: npt.DTypeLike) -> str:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.node("Cast", [given], output, to=kind)

    def weight(self, name: str, values: npt.NDArray[Any], *, like: str = "") -> str:
        self._initializers[name] = self._weights.tensor(name, values, like=like)
        return name

    def constant(self, name: str, values: npt.ArrayLike, dtype: npt.DTypeLike) -> str:
        """A small tensor that is kept inside the model file."""
        if name not in self._initializers:
            self._initializers[name] = onnx.numpy_helper.from_array(np.array(values, dtype), name)
        return name

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(
            self._nodes, "gpt2", self._inputs, self._outputs, list(self._initializers.values())
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)],
            ir_version=10,
            producer_name="persona-chatbot",
        )


def _value_info(
    name: str, dtype: npt.DTypeLike, shape: list[str | int] | None
) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(
        name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape
    )
