"""A small builder of ONNX graphs: every method adds nodes and returns the name of their result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8  # what onnxruntime since 1.13 reads

Attribute = int | float | str | Sequence[int]
Shape = Sequence[int | str]


class GraphBuilder:
    """Collects nodes and constants, then makes a checked model of them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: Shape) -> str:
        """Declare a float32 input."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def output(self, value: str, name: str, shape: Shape) -> None:
        """Declare a float32 output that holds `value`."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def constant(self, value: NDArray[np.generic]) -> str:
        """Add a constant array."""
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def floats(self, value: float) -> str:
        """Add a float32 scalar."""
        return self.constant(np.array(value, np.float32))

    def ints(self, values: Sequence[int]) -> str:
        """Add an int64 vector."""
        return self.constant(np.array(values, np.int64))

    def node(self, operator: str, inputs: Sequence[str], attributes: Mapping[str, Attribute] | None = None) -> str:
        """Add a node with one output."""
        name = f"v{len(self._nodes)}"
        node = helper.make_node(operator, list(inputs), [name])
        node.attribute.extend(helper.make_attribute(key, value) for key, value in (attributes or {}).items())
        self._nodes.append(node)
        return name

    def split_first(self, value: str, sizes: Sequence[int], names: Sequence[str]) -> None:
        """Cut an input along axis 1 into named parts, before all other nodes, which may so use the names already."""
        self._nodes.insert(0, helper.make_node("Split", [value, self.ints(sizes)], list(names), axis=1))

    def slice(self, value: str, *, axis: int, start: int, stop: int | None = None, step: int = 1) -> str:
        """`value[start:stop:step]` along one axis; `stop` None means to the end."""
        end = (-(2**31) if step < 0 else 2**31 - 1) if stop is None else stop
        return self.node("Slice", [value, self.ints([start]), self.ints([end]), self.ints([axis]), self.ints([step])])

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        """Reshape; 0 keeps an axis, one -1 is worked out."""
        return self.node("Reshape", [value, self.ints(shape)])

    def concat(self, values: Sequence[str], *, axis: int) -> str:
        """Join along an axis."""
        return self.node("Concat", values, {"axis": axis})

    def build(self, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """The model, checked, with these metadata."""
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="wakelark")
        model.ir_version = IR_VERSION
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        return model
