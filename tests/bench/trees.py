"""Write the trees of an XGBoost model as an ONNX graph with the same splits."""

from __future__ import annotations

from typing import Any

from onnx import TensorProto, helper


def onnx_of_booster(booster: dict[str, Any], features: int) -> Any:
    """Return the ONNX graph of a regression booster.

    Args:
        booster: what XGBoost saves as JSON.
        features: number of features.
    """
    learner = booster["learner"]
    base = float(str(learner["learner_model_param"]["base_score"]).strip("[]"))
    nodes: dict[str, list[Any]] = {f"nodes_{key}": [] for key in _NODE_KEYS}
    targets: dict[str, list[Any]] = {f"target_{key}": [] for key in ("treeids", "nodeids", "ids", "weights")}
    for number, tree in enumerate(learner["gradient_booster"]["model"]["trees"]):
        _add_tree(nodes, targets, number, tree)
    ensemble = helper.make_node(
        "TreeEnsembleRegressor", ["features"], ["column"], domain="ai.onnx.ml",
        n_targets=1, base_values=[base], post_transform="NONE", **nodes, **targets,  # type: ignore[arg-type]
    )  # fmt: skip
    flat = helper.make_node("Reshape", ["column", "any_rows"], ["prediction"])
    graph = helper.make_graph(
        [ensemble, flat],
        "boosting",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, [None])],
        [helper.make_tensor("any_rows", TensorProto.INT64, [1], [-1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


_NODE_KEYS = (
    "treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids", "missing_value_tracks_true",
)  # fmt: skip


def _add_tree(nodes: dict[str, list[Any]], targets: dict[str, list[Any]], number: int, tree: dict[str, Any]) -> None:
    for node, (left, right) in enumerate(zip(tree["left_children"], tree["right_children"], strict=True)):
        is_leaf, value = left < 0, tree["split_conditions"][node]
        values = (
            number, node, 0 if is_leaf else tree["split_indices"][node], "LEAF" if is_leaf else "BRANCH_LT",
            0.0 if is_leaf else value, max(left, 0), max(right, 0), tree["default_left"][node],
        )  # fmt: skip
        for key, each in zip(_NODE_KEYS, values, strict=True):
            nodes[f"nodes_{key}"].append(each)
        if is_leaf:
            for key, each in zip(("treeids", "nodeids", "ids", "weights"), (number, node, 0, value), strict=True):
                targets[f"target_{key}"].append(each)
