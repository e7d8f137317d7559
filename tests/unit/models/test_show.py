from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from sparkscore.errors import ConfigError, ModelError
from sparkscore.models.show import show_model

MLMODEL = """
flavors: {python_function: {loader_module: mlflow.sklearn, python_version: 3.11.2}}
signature:
  inputs: '[{"name": "age", "type": "double", "required": true}, {"name": "sex", "type": "string", "required": false}]'
  outputs: '[{"name": "risk", "type": "double", "required": true}]'
  params: '[{"name": "limit", "type": "double", "default": 0.5, "shape": null}]'
"""


def save_graph(path: Path) -> Path:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_a_model_of_mlflow_is_shown_with_its_columns_and_files(tmp_path: Path) -> None:
    (tmp_path / "m" / "data").mkdir(parents=True)
    (tmp_path / "m" / "MLmodel").write_text(MLMODEL)
    (tmp_path / "m" / "data" / "model.pkl").write_bytes(b"12345")

    shown = show_model(tmp_path / "m")

    assert [(one["name"], one["type"], one["required"]) for one in shown["inputs"]] == [
        ("age", "double", True),
        ("sex", "string", False),
    ]
    assert shown["outputs"] == [{"name": "risk", "type": "double"}]
    assert shown["params"] == {"limit": 0.5}
    assert shown["files"]["data/model.pkl"] == 5
    assert (shown["kind"], shown["runs_code"], shown["python"]) == ("mlflow", True, "3.11.2")
    assert json.loads(json.dumps(shown)) == shown


def test_an_onnx_graph_is_shown_with_its_tensors(tmp_path: Path) -> None:
    shown = show_model(save_graph(tmp_path / "m.onnx"))

    (tensor,) = shown["inputs"]
    assert (tensor["name"], tensor["type"]) == ("x", "float")
    assert tensor["shape"][-1] == 3
    assert (shown["kind"], list(shown["files"])) == ("onnx", ["m.onnx"])


def test_a_model_without_a_signature_is_shown_with_advice(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "MLmodel").write_text(MLMODEL.partition("signature:")[0])

    shown = show_model(tmp_path / "m")

    assert (shown["inputs"], shown["outputs"]) == (None, None)
    assert shown["signature_advice"]


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="MODEL_NOT_FOUND"):
        show_model(tmp_path / "none")
    with pytest.raises(ConfigError):
        show_model("")
