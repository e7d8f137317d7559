from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sparkscore.config import load_deployment
from sparkscore.run.prepare import prepare


def test_the_example_is_a_valid_request(sparkscore: Callable[..., Any], tmp_path: Path) -> None:
    answer = sparkscore("new", tmp_path / "first")

    assert answer.exit_code == 0
    assert f"sparkscore run {tmp_path / 'first'}/deployment.yml" in answer.out
    prepared = prepare(tmp_path / "first" / "deployment.yml")
    assert prepared.model is not None
    assert prepared.deployment.unapplied_settings() == {}


def test_the_scoring_script_names_the_flowers_and_does_not_know_sparkscore(
    sparkscore: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparkscore("new", tmp_path / "first")
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(tmp_path / "first"))
    text = (tmp_path / "first" / "score.py").read_text(encoding="utf-8")

    script = runpy.run_path(str(tmp_path / "first" / "score.py"))
    script["init"]()
    scored = script["run"](pd.read_csv(tmp_path / "first" / "flowers.csv"))

    assert [flower["species"] for flower in scored[:4]] == ["setosa"] * 4
    assert {flower["species"] for flower in scored} == {"setosa", "versicolor", "virginica"}
    assert "sparkscore" not in text


def test_every_setting_that_the_comments_offer_is_accepted(sparkscore: Callable[..., Any], tmp_path: Path) -> None:
    sparkscore("new", tmp_path / "first")
    file = tmp_path / "first" / "deployment.yml"
    lines = file.read_text(encoding="utf-8").splitlines()
    offered = [
        line for line in lines if ":" in line.partition("# ")[2].partition(" #")[0] and line.lstrip()[:2] == "# "
    ]
    settings = [line for line in offered if line.startswith(("  # ", "# environment", "#   MY"))]

    file.write_text("\n".join(line.replace("# ", "", 1) if line in settings else line for line in lines))

    assert len(settings) == 4
    deployment = load_deployment(file)
    assert deployment.output.partition_by == ("species",)
    assert deployment.environment_variables == {"MY_SETTING": "1"}


def test_an_empty_folder_is_used(sparkscore: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()

    answer = sparkscore("new", tmp_path / "first", "--json")

    assert answer.json["files"] == ["deployment.yml", "flowers.csv", "model.json", "score.py"]
    assert {path.name for path in (tmp_path / "first").iterdir()} == set(answer.json["files"])


@pytest.mark.parametrize("what", ["full folder", "file", "below a file"])
def test_nothing_of_the_users_is_overwritten(sparkscore: Callable[..., Any], tmp_path: Path, what: str) -> None:
    target = tmp_path / "first"
    if what == "full folder":
        target.mkdir()
        (target / "score.py").write_text("mine", encoding="utf-8")
    else:
        target.write_text("mine", encoding="utf-8")

    answer = sparkscore("new", target / "deeper" if what == "below a file" else target, "--json")

    assert answer.exit_code == 2
    assert answer.json["error"]["code"] == "NEW_FOLDER"
    kept = target / "score.py" if what == "full folder" else target
    assert kept.read_text(encoding="utf-8") == "mine"
