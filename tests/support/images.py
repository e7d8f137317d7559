"""Save a model for tests that score images."""

from __future__ import annotations

from pathlib import Path

from onnx import TensorProto, helper


def save_sum_of_pixels(path: Path) -> None:
    """Save an ONNX graph that sums the pixels of images with 4 x 6 pixels and three channels, channels first."""
    node = helper.make_node("ReduceSum", ["x", "axes"], ["total"], keepdims=0)
    axes = helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3])
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 4, 6])]
    outputs = [helper.make_tensor_value_info("total", TensorProto.FLOAT, ["n"])]
    graph = helper.make_graph([node], "g", inputs, outputs, [axes])
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])
    path.write_bytes(model.SerializeToString())
