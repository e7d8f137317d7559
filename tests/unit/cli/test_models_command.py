from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from onnx import TensorProto, helper

from sparkscore.digest import digest_of_path
from sparkscore.models import env_build
from tests.support import quick_venv


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", inputs, outputs)
    path = tmp_path / "heart.onnx"
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])
    path.write_bytes(model.SerializeToString())
    return path


def test_a_model_is_shown_with_what_it_takes_and_gives(sparkscore: Callable[..., Any], graph: Path) -> None:
    answer = sparkscore("models", "show", str(graph))

    assert (answer.exit_code, answer.err) == (0, "")
    lines = [line.split() for line in answer.out.splitlines()]
    assert ["type", "onnx"] in lines
    assert ["sha256", digest_of_path(graph)] in lines
    assert ["inputs", "x", "float", "[-1,", "3]"] in lines
    assert any(line[:2] == ["files", "heart.onnx"] for line in lines)


def test_the_same_as_one_object(sparkscore: Callable[..., Any], graph: Path) -> None:
    answer = sparkscore("models", "show", str(graph), "--json")

    assert answer.exit_code == 0
    assert (answer.json["kind"], answer.json["runs_code"]) == ("onnx", False)
    assert answer.json["inputs"] == [{"name": "x", "type": "float", "shape": [-1, 3]}]


@pytest.mark.parametrize(("reference", "code"), [("gone.onnx", "MODEL_NOT_FOUND"), ("model.json", "MODEL_FRAMEWORK")])
def test_what_is_no_model_is_refused(sparkscore: Callable[..., Any], tmp_path: Path, reference: str, code: str) -> None:
    (tmp_path / "model.json").write_text("{}")

    answer = sparkscore("models", "show", str(tmp_path / reference), "--json")

    assert answer.exit_code != 0
    assert answer.json["error"]["code"] == code


def test_an_environment_is_built_from_wheels_and_the_line_that_uses_it_is_printed(
    sparkscore: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(env_build, "_OWN_NEEDS", ())
    monkeypatch.setattr(env_build, "_make", quick_venv.make)
    (tmp_path / "wheels").mkdir()
    with zipfile.ZipFile(tmp_path / "wheels" / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    (tmp_path / "req.txt").write_text("tiny==1.0\n")
    content = {"name": "d", "model": "azureml:heart:3", "code_configuration": {"scoring_script": "score.py"}}
    (tmp_path / "d.yml").write_text(yaml.safe_dump(content))

    place = f"python.requirements={tmp_path / 'req.txt'}"
    build = ("env", "build", str(tmp_path / "d.yml"), "--wheels", str(tmp_path / "wheels"))
    answer = sparkscore(*build, "--set", place, "--set", f"model.path={tmp_path / 'req.txt'}")

    assert answer.exit_code == 0, answer.err
    (archive,) = (tmp_path / "runs" / "environments").iterdir()
    assert f"use it with: --set python.archive={archive}" in answer.out


def test_a_deployment_without_requirements_has_no_environment(sparkscore: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "d.yml").write_text("name: d\n")

    answer = sparkscore("env", "build", str(tmp_path / "d.yml"), "--json")

    assert (answer.exit_code, answer.json["error"]["code"]) == (2, "REQUIREMENTS_MISSING")


def test_a_run_that_cannot_be_taken_up_is_told(sparkscore: Callable[..., Any], tmp_path: Path) -> None:
    answer = sparkscore("resume", "night", "--runs", str(tmp_path), "--json")

    assert (answer.exit_code, answer.json["error"]["code"]) == (2, "REQUEST_NOT_FOUND")


def test_where_nothing_is_left_there_is_nothing_to_clean(sparkscore: Callable[..., Any], tmp_path: Path) -> None:
    assert sparkscore("clean", "--runs", str(tmp_path)).out == "nothing to clean\n"
