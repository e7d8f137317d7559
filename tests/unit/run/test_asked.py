"""A request that is made again: as an earlier run was asked for, or for what failed in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparkscore.config import Deployment
from sparkscore.errors import ConfigError, RunNotFoundError
from sparkscore.record.run_record import FAIL, RecordedOutput, RecordedQuarantine, new_record
from sparkscore.record.runs_folder import RunFolder
from sparkscore.run import PreparedRun
from sparkscore.run.prepare import prepare
from sparkscore.run.resume import prepare_again

MakeDeployment = Callable[..., Path]
SCRIPT = "def run(b): return b"


@pytest.fixture
def first(tmp_path: Path, make_deployment: MakeDeployment, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder in which runs are asked for at first, with a deployment file in it."""
    make_deployment(SCRIPT, "first", output={"mode": "overwrite"}, settings={"error_threshold": -1})
    monkeypatch.chdir(tmp_path / "first")
    return tmp_path / "first"


def ask(**options: Any) -> PreparedRun:
    """Ask for a run, and let some of its items fail."""
    prepared = prepare("deployment.yml", run_id="night", input="in.csv", **{"output": "out", **options})
    prepared.folder.create()
    prepared.folder.write_request(prepared.request)
    config = prepared.deployment.effective()
    output = RecordedOutput(format="delta", location="/out", mode="overwrite")
    record = new_record("night", "deployment.yml", config).noting(
        output=output, quarantine=RecordedQuarantine(location="/out_quarantine", rows=1), state=FAIL
    )
    prepared.folder.write_record(record)
    return prepared


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


def paths_of(deployment: Deployment) -> tuple[Any, ...]:
    return deployment.input.location, deployment.output.location, deployment.output.mode


def test_a_run_is_taken_up_from_another_folder_by_the_paths_of_its_own(
    first: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first / "model.bin").write_text("m")
    asked = ask(settings={"model.path": "model.bin"}, partition_by="day")
    monkeypatch.chdir(elsewhere)

    again = prepare_again("night")

    assert again.deployment == asked.deployment
    assert (again.request, again.deployment_name, again.run_id) == (asked.request, "deployment.yml", "night")
    assert again.model == asked.model
    assert Path.cwd() == elsewhere


def test_a_request_of_an_earlier_version_is_taken_up(
    first: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = ask()
    kept = {name: value for name, value in asked.request.items() if name != "stores"}
    (tmp_path / "runs" / "night" / "request.json").write_text(json.dumps(kept))
    monkeypatch.chdir(elsewhere)

    assert prepare_again("night").deployment == asked.deployment
    assert first.is_dir()


@pytest.mark.usefixtures("first")
def test_runs_that_were_moved_are_taken_up_where_they_are_now(tmp_path: Path) -> None:
    ask()
    (tmp_path / "runs").rename(tmp_path / "moved")

    assert prepare_again("night", runs=tmp_path / "moved").run_folder == tmp_path / "moved" / "night"


@pytest.mark.usefixtures("first")
def test_failed_items_are_scored_by_the_request_of_their_run_from_python_too(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ask(settings={"settings.mini_batch_size": 7})
    monkeypatch.chdir(elsewhere)

    again = prepare(None, only_failed="night")

    assert again.failed is not None
    assert again.failed.run_id == "night"
    assert again.run_id != "night"
    assert again.deployment.output.location == asked.deployment.output.location
    assert again.deployment.output.mode == "append"
    assert again.deployment.settings.mini_batch_size == asked.deployment.settings.mini_batch_size
    assert again.deployment_name == "deployment.yml"
    assert Path.cwd() == elsewhere


@pytest.mark.parametrize("kept", [{"mode": "overwrite"}, {"settings": {"output.mode": "overwrite"}}])
@pytest.mark.usefixtures("first")
def test_failed_items_never_overwrite_because_their_run_did(kept: dict[str, Any]) -> None:
    ask(**kept)

    assert prepare(None, only_failed="night").deployment.output.mode == "append"


@pytest.mark.parametrize("now", [{"mode": "overwrite"}, {"settings": {"output.mode": "overwrite"}}])
@pytest.mark.usefixtures("first")
def test_failed_items_overwrite_where_that_is_asked_for_now(now: dict[str, Any]) -> None:
    ask()

    assert prepare(None, only_failed="night", **now).deployment.output.mode == "overwrite"


@pytest.mark.parametrize("kept", [{"output": "out"}, {"settings": {"output.location": "out"}}])
@pytest.mark.parametrize("now", [{"output": "other"}, {"settings": {"output.location": "other"}}])
@pytest.mark.usefixtures("first")
def test_what_is_asked_for_now_counts_and_begins_in_the_folder_of_now(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, kept: dict[str, Any], now: dict[str, Any]
) -> None:
    ask(**kept)
    monkeypatch.chdir(elsewhere)

    again = prepare(None, only_failed="night", **now)

    assert again.deployment.output.location == str(elsewhere / "other")


@pytest.mark.usefixtures("first")
def test_a_run_over_failed_items_is_taken_up_as_it_was_asked_for(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ask()
    monkeypatch.chdir(elsewhere)
    asked = prepare(None, only_failed="night", run_id="second", output="other")
    asked.folder.create()
    asked.folder.write_request(asked.request)
    monkeypatch.chdir(tmp_path)

    again = prepare_again("second")

    assert paths_of(again.deployment) == paths_of(asked.deployment)
    assert again.deployment == asked.deployment
    assert (again.failed, again.run_id) == (asked.failed, "second")


@pytest.mark.usefixtures("first")
def test_names_that_hold_dots_survive(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"environment_variables": {"A.B": "1"}, "input.options.spark.x": "2", "output.columns": None}
    ask(settings=settings)
    monkeypatch.chdir(elsewhere)

    again = prepare(None, only_failed="night").deployment

    assert again.environment_variables == {"A.B": "1"}
    assert again.input.options == {"spark.x": "2"}


@pytest.mark.usefixtures("first")
def test_a_model_or_a_deployment_of_now_needs_no_request_of_before(tmp_path: Path) -> None:
    ask()
    (tmp_path / "runs" / "night" / "request.json").unlink()

    assert prepare("deployment.yml", only_failed="night", output="out").failed is not None
    with pytest.raises(RunNotFoundError, match="REQUEST_NOT_FOUND"):
        prepare(None, only_failed="night")


def test_a_folder_that_is_gone_is_named(first: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask()
    monkeypatch.chdir(elsewhere)
    first.rename(first.with_name("renamed"))

    with pytest.raises(ConfigError, match=r"\[WORKING_DIRECTORY\]"):
        prepare_again("night")
    with pytest.raises(ConfigError, match=r"\[WORKING_DIRECTORY\]"):
        prepare(None, only_failed="night")


@pytest.mark.usefixtures("first")
def test_the_mlflow_store_of_the_first_folder_is_that_of_the_script(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    asked = ask()
    monkeypatch.chdir(elsewhere)

    assert prepare_again("night").stores == asked.stores
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////other/mlflow.db")
    assert prepare_again("night").stores[0] == "sqlite:////other/mlflow.db"


@pytest.mark.usefixtures("first")
def test_the_address_of_a_server_is_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ada:pass@host/")
    ask()

    assert "pass" not in (tmp_path / "runs" / "night" / "request.json").read_text()
    assert RunFolder(tmp_path / "runs", "night").read_request() is not None
