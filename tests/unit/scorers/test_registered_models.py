from __future__ import annotations

import sys
import tempfile
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from sparkscore.errors import ModelError, ModelNotFoundError
from sparkscore.registry import Registry, quiet_mlflow
from sparkscore.scorers import registered_models
from sparkscore.scorers.registered_models import fetch_registered
from tests.support.registry import make_store


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registry with 'heart' in eleven versions, so that the latest is not the last by name."""
    folder = tmp_path_factory.mktemp("registry")
    with quiet_mlflow():
        store = make_store(folder)
        client = MlflowClient(store, store)
        run = client.create_run(client.create_experiment("one", (folder / "artifacts").as_uri()))
        client.create_registered_model("heart")
        for count in range(1, 12):
            client.log_text(run.info.run_id, f"weights {count}", f"model-{count}/data/weights.txt")
            client.create_model_version("heart", f"{run.info.artifact_uri}/model-{count}", run.info.run_id)
        client.create_registered_model("empty")
    return store


@pytest.fixture
def uri(filled: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", filled)
    return filled


def weights(path: Path) -> str:
    return (path / "data" / "weights.txt").read_text()


SEARCH = MlflowClient.search_model_versions


def search_by_four(client: MlflowClient, wanted: str, page_token: str | None = None) -> Any:
    return SEARCH(client, wanted, max_results=4, order_by=["version_number ASC"], page_token=page_token)


@pytest.mark.parametrize(("version", "found"), [(None, "11"), ("2", "2"), ("11", "11")])
def test_a_registered_model_is_brought_here(version: str | None, found: str, uri: str) -> None:
    del uri
    path, pinned = fetch_registered("heart", version)

    assert (pinned, path.name, weights(path)) == (found, "heart", f"weights {found}")
    assert [entry.name for entry in path.iterdir()] == ["data"]


def test_the_latest_version_may_stand_on_any_page(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    del uri
    monkeypatch.setattr(MlflowClient, "search_model_versions", search_by_four)

    assert fetch_registered("heart", None)[1] == "11"


def test_a_registry_of_its_own_comes_before_the_tracking_store(
    filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", filled)

    assert fetch_registered("heart", "3")[1] == "3"


def test_a_version_is_downloaded_once_for_a_host(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    del uri
    first, _ = fetch_registered("heart", "5")

    def refuse(*_: object) -> None:
        raise AssertionError("this host has it")

    monkeypatch.setattr(Registry, "download", refuse)

    assert fetch_registered("heart", "5") == (first, "5")


@pytest.mark.parametrize(
    ("name", "version", "asked"),
    [("lungs", None, "model 'lungs'"), ("lungs", "1", "model 'lungs', version 1"), ("heart", "99", "version 99"),
     ("empty", None, "model 'empty'"), ("heart", "latest", "version latest")],
)  # fmt: skip
def test_what_is_not_registered_is_not_found(name: str, version: str | None, asked: str, uri: str) -> None:
    del uri
    with pytest.raises(ModelNotFoundError) as caught:
        fetch_registered(name, version)

    assert asked in caught.value.what
    assert "registry" in caught.value.got
    assert caught.value.next_step == f"Add it to the deployment: models: {{{name}: PATH}}."


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")

    with pytest.raises(ModelNotFoundError, match="there is no MLflow registry at"):
        fetch_registered("heart", None)

    assert not (tmp_path / "mlflow.db").exists()


def test_a_registry_that_does_not_answer_is_told_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")

    with pytest.raises(ModelError, match="MODEL_REGISTRY") as caught:
        fetch_registered("heart", None)

    assert "secret" not in str(caught.value)
    assert not isinstance(caught.value, ModelNotFoundError)


def test_a_worker_without_mlflow_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(name: str) -> ModuleSpec | None:
        return None if name == "mlflow" else sys.modules[name].__spec__

    monkeypatch.setattr(registered_models, "find_spec", without)

    with pytest.raises(ModelNotFoundError, match="MLflow is not installed on this worker"):
        fetch_registered("heart", None)
