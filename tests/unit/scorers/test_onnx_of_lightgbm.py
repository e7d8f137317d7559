"""The ONNX form of a LightGBM model that was trained on doubles gives other scores to rows at its thresholds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
from onnx import ModelProto, TensorProto, helper

from sparkscore.digest import digest_of_path
from sparkscore.minibatch import MiniBatch
from sparkscore.models import ResolvedModel
from sparkscore.models.framework_model import describe_framework
from sparkscore.models.onnx_model import describe_onnx, graph_file, graph_outputs
from sparkscore.scorers import ScorerSpec, load_scorer
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.scorers.specs import FrameworkSpec, OnnxSpec
from sparkscore.signature.matching import match_inputs

NAMES = list("abcd")
X = np.random.default_rng(3).normal(size=(2000, len(NAMES)))
Y = 3 * X[:, 0] - 2 * X[:, 1] * X[:, 2] + X[:, 3]
ROWS = 10_000
# More than a sum of floats differs from one of doubles, and less than most leaves differ from each other.
ANOTHER_SCORE = 1e-3


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def booster(tmp_path_factory: pytest.TempPathFactory) -> lightgbm.Booster:
    """Return a model of 100 trees with 31 leaves, as its file holds it."""
    options = {"verbose": -1, "num_threads": 1}
    file = tmp_path_factory.mktemp("booster") / "m.txt"
    lightgbm.train(options, lightgbm.Dataset(pd.DataFrame(X, columns=NAMES), Y), 100).save_model(file)
    return lightgbm.Booster(model_file=file)


def splits_of(node: dict[str, Any]) -> Iterator[tuple[int, float]]:
    """Give the feature and the threshold of each split of a tree."""
    if "threshold" in node:
        yield node["split_feature"], node["threshold"]
        yield from splits_of(node["left_child"])
        yield from splits_of(node["right_child"])


def flattened(node: dict[str, Any], tree: int, found: list[dict[str, Any]]) -> int:
    """Append the nodes of a tree in the words of ONNX, and give the number of the first one."""
    number = len(found)
    found.append({"treeids": tree, "nodeids": number, "leaf": node.get("leaf_value")})
    is_leaf, below = "leaf_value" in node, (0, 0)
    if not is_leaf:
        below = flattened(node["left_child"], tree, found), flattened(node["right_child"], tree, found)
    found[number] |= {
        "featureids": 0 if is_leaf else node["split_feature"],
        "modes": "LEAF" if is_leaf else "BRANCH_LEQ",
        "values": 0.0 if is_leaf else node["threshold"],
        "truenodeids": below[0],
        "falsenodeids": below[1],
    }
    return number


def onnx_of(booster: lightgbm.Booster) -> ModelProto:
    """Return a model's trees in ONNX, whose thresholds are floats of 32 bits, as converters write them."""
    nodes: list[dict[str, Any]] = []
    for tree, each in enumerate(booster.dump_model()["tree_info"]):
        of_tree: list[dict[str, Any]] = []
        flattened(each["tree_structure"], tree, of_tree)
        nodes += of_tree
    keys = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
    leaves = [node for node in nodes if node["leaf"] is not None]
    attributes: dict[str, Any] = {
        **{f"nodes_{key}": [node[key] for node in nodes] for key in keys},
        **{f"target_{key}": [leaf[key] for leaf in leaves] for key in ("treeids", "nodeids")},
        "target_ids": [0] * len(leaves),
        "target_weights": [leaf["leaf"] for leaf in leaves],
        "n_targets": 1,
    }
    ensemble = helper.make_node(
        "TreeEnsembleRegressor", ["features"], ["prediction"], domain="ai.onnx.ml", **attributes
    )
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(NAMES)])]
    outputs = [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, [None, 1])]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(
        helper.make_graph([ensemble], "trees", inputs, outputs), opset_imports=opsets, ir_version=8
    )


def save(booster: lightgbm.Booster, folder: Path) -> tuple[Path, Path]:
    booster.save_model(folder / "m.txt")
    (folder / "m.onnx").write_bytes(onnx_of(booster).SerializeToString())
    return folder / "m.txt", folder / "m.onnx"


def spec_of(path: Path, rows: pa.Table) -> ScorerSpec:
    """Make the spec as a run with `model.round_inputs` makes it."""
    model = ResolvedModel(path, "m", "1", digest_of_path(path))
    files = ModelFiles("m", "1", str(path), model.sha256)
    is_onnx = path.suffix == ".onnx"
    inputs = (describe_onnx(model) if is_onnx else describe_framework(model, "lightgbm")).signature.inputs or ()
    feeds = match_inputs(inputs, rows.schema, {}, rounds=is_onnx)
    return (
        OnnxSpec(files, graph_file(path), feeds, graph_outputs(path))
        if is_onnx
        else FrameworkSpec(files, "lightgbm", feeds)
    )


def score(path: Path, values: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    rows = pa.table(dict(zip(NAMES, values.T, strict=True)))
    scorer = load_scorer(spec_of(path, rows))
    try:
        return np.asarray(scorer.score(MiniBatch("0", (), rows))).ravel()
    finally:
        scorer.close()


def planted(booster: lightgbm.Booster) -> npt.NDArray[np.float64]:
    """Return rows in which one value is the next double above one of the model's thresholds."""
    trees = [each["tree_structure"] for each in booster.dump_model()["tree_info"]]
    splits = [split for tree in trees for split in splits_of(tree)]
    random = np.random.default_rng(4)
    rows = random.normal(size=(ROWS, len(NAMES)))
    for row, number in zip(rows, random.integers(0, len(splits), ROWS), strict=True):
        feature, threshold = splits[number]
        row[feature] = np.nextafter(threshold, np.inf)
    return rows


def test_rows_at_a_threshold_get_another_score_from_onnx_and_the_models_own_from_its_file(
    booster: lightgbm.Booster, tmp_path: Path
) -> None:
    own_file, onnx_file = save(booster, tmp_path)
    rows = planted(booster)

    own, from_onnx = score(own_file, rows), score(onnx_file, rows)

    expected = np.asarray(booster.predict(pd.DataFrame(rows, columns=NAMES), num_threads=1))
    assert own.tobytes() == expected.tobytes()
    share = np.mean(np.abs(own - from_onnx) > ANOTHER_SCORE)
    assert 0.6 < share < 0.7, share
    assert np.abs(own - from_onnx).max() > 0.1


def test_rows_of_two_decimals_get_the_same_scores_but_for_the_rounding_of_floats(
    booster: lightgbm.Booster, tmp_path: Path
) -> None:
    own_file, onnx_file = save(booster, tmp_path)
    rows = np.random.default_rng(5).normal(size=(ROWS, len(NAMES))).round(2)

    assert np.abs(score(own_file, rows) - score(onnx_file, rows)).max() < ANOTHER_SCORE / 10
