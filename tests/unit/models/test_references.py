from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.pyfunc.model import PythonModel

from sparkscore.config import Model
from sparkscore.digest import digest_of_path
from sparkscore.errors import MissingDependencyError, ModelError, ModelNotFoundError
from sparkscore.models import resolve_model
from sparkscore.models.references import find_in_registry
from sparkscore.registry import Registry, registry_of_name
from tests.support.registry import make_store

MODEL_FILE = "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n"


@dataclass(frozen=True)
class Store:
    """A registry with the model 'heart' in three versions, and the run that made them."""

    uri: str
    run_id: str


def fill(uri: str, artifacts: Path | None) -> Store:
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    location = None if artifacts is None else artifacts.as_uri()
    run = client.create_run(client.create_experiment("one", location))
    for count in (1, 2, 3):
        client.log_text(run.info.run_id, f"{MODEL_FILE}model_uuid: {count}\n", f"model-{count}/MLmodel")
    client.log_text(run.info.run_id, "x" * 10, "model-1/data/weights.txt")
    for name in ("heart", "catalog.schema.heart"):
        client.create_registered_model(name)
        for count in (1, 2, 3):
            client.create_model_version(name, f"{run.info.artifact_uri}/model-{count}", run.info.run_id)
        client.set_registered_model_alias(name, "champion", "2")
    return Store(uri, run.info.run_id)


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        yield


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("registry")
    return fill(make_store(folder), folder / "artifacts")


@pytest.fixture
def store(filled: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", filled.uri)
    return filled


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("models:/heart/1", "1"),
        ("models:/heart@champion", "2"),
        ("models:/heart/latest", "3"),
        ("models:/heart/3/", "3"),
    ],
)
@pytest.mark.usefixtures("store")
def test_a_registered_model_is_found_with_its_concrete_version(reference: str, version: str) -> None:
    found = find_in_registry(reference)

    assert (found.name, found.version, found.uri) == ("heart", version, f"models:/heart/{version}")
    assert f"model_uuid: {version}" in (found.path / "MLmodel").read_text()


@pytest.mark.usefixtures("store")
def test_a_name_of_three_levels_is_one_name() -> None:
    found = find_in_registry("models:/catalog.schema.heart@champion")

    assert (found.name, found.version) == ("catalog.schema.heart", "2")
    assert found.uri == "models:/catalog.schema.heart/2"


def test_a_run_gives_its_id_as_the_version(store: Store) -> None:
    found = find_in_registry(f"runs:/{store.run_id}/model-1")

    assert (found.name, found.version) == ("model-1", store.run_id)
    assert found.uri == f"runs:/{store.run_id}/model-1"
    assert (found.path / "data" / "weights.txt").read_text() == "x" * 10


@pytest.mark.usefixtures("store")
def test_a_stage_is_the_newest_version_of_that_stage() -> None:
    with pytest.warns(FutureWarning):
        MlflowClient().transition_model_version_stage("heart", "1", "Staging")

    assert find_in_registry("models:/heart/staging").version == "1"


def test_the_same_files_have_the_same_digest_wherever_they_come_from(store: Store) -> None:
    # MLflow writes a note of its own into the folder of a registered model that it downloads.
    paths = [
        find_in_registry(reference).path
        for reference in ("models:/heart/1", "models:/catalog.schema.heart/1", f"runs:/{store.run_id}/model-1")
    ]

    assert len({digest_of_path(path) for path in paths}) == 1
    assert len(set(paths)) == 3


@pytest.mark.usefixtures("store")
def test_the_model_of_a_run_record_is_the_pinned_one() -> None:
    model = resolve_model(Model(path="models:/heart@champion"))

    assert model is not None
    assert model.describe()["uri"] == "models:/heart/2"
    assert model.describe()["path"] is None
    assert model.version == "2"


@pytest.mark.parametrize(
    ("reference", "known"),
    [
        ("models:/hart/1", "'catalog.schema.heart', 'heart'"),
        ("models:/hart@champion", "'catalog.schema.heart', 'heart'"),
        ("models:/hart/latest", "'catalog.schema.heart', 'heart'"),
        ("models:/heart/9", "version '1', '2', '3', or alias 'champion'"),
        ("models:/heart@challenger", "version '1', '2', '3', or alias 'champion'"),
        ("models:/heart/archived", "version '1', '2', '3', or alias 'champion'"),
        ("models:/heart", "version '1', '2', '3', or alias 'champion'"),
        ("models:/m-0123456789abcdef", "'catalog.schema.heart', 'heart'"),
    ],
)
@pytest.mark.usefixtures("store")
def test_what_is_not_there_is_said_with_what_is(reference: str, known: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        find_in_registry(reference)

    assert caught.value.code == "MODEL_NOT_FOUND"
    assert reference in caught.value.what
    assert known in caught.value.expected


@pytest.mark.parametrize("reference", ["runs:/0123456789abcdef0123456789abcdef/model", "runs:/{run}/nothing"])
def test_a_run_or_a_path_in_it_that_is_not_there_is_named(reference: str, store: Store) -> None:
    reference = reference.format(run=store.run_id)

    with pytest.raises(ModelNotFoundError) as caught:
        find_in_registry(reference)

    assert reference in str(caught.value)


@pytest.mark.parametrize("reference", ["models:/", "models:/heart/1/data", "runs:/0123", "models://heart/1"])
@pytest.mark.usefixtures("store")
def test_what_is_no_reference_is_refused_with_the_forms(reference: str) -> None:
    with pytest.raises(ModelError) as caught:
        find_in_registry(reference)

    assert caught.value.code == "MODEL_REFERENCE"
    assert "models:/NAME@ALIAS" in caught.value.expected


def test_a_registry_that_is_not_there_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///new.db")

    with pytest.raises(ModelError) as caught:
        find_in_registry("models:/heart/1")

    assert caught.value.code == "MODEL_REGISTRY"
    assert "MLFLOW_TRACKING_URI" in caught.value.next_step
    assert list(tmp_path.iterdir()) == []


def test_a_registry_that_does_not_answer_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:secret-word@127.0.0.1:{free_port()}")

    with pytest.raises(ModelError) as caught:
        find_in_registry("models:/heart/1")

    assert caught.value.code == "MODEL_REGISTRY"
    assert "127.0.0.1" in caught.value.what
    assert "secret-word" not in str(caught.value)


def test_without_mlflow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)

    with pytest.raises(MissingDependencyError) as caught:
        find_in_registry("models:/heart/1")

    assert "sparkscore[mlflow]" in caught.value.next_step


@pytest.mark.parametrize(
    ("configured", "asked"),
    [
        ("databricks", "databricks-uc"),
        ("databricks://profile", "databricks-uc://profile"),
        ("databricks-uc", "databricks-uc"),
        ("uc:http://127.0.0.1:8080", "uc:http://127.0.0.1:8080"),
    ],
)
def test_three_levels_on_databricks_are_unity_catalogs(
    configured: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # There is no Databricks here: this test ends at what its client is asked.
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", configured)
    asked_of: list[tuple[str, ...]] = []

    class Client:
        def get_model_version_by_alias(self, name: str, alias: str) -> Any:
            asked_of.append(("alias", name, alias))
            return SimpleNamespace(version="4")

    def client(registry: Registry) -> Client:
        asked_of.append(("registry", registry.uri))
        return Client()

    def download(registry: Registry, uri: str, folder: Path) -> Path:
        asked_of.append(("download", uri, registry.uri))
        return folder

    monkeypatch.setattr(Registry, "_client", client)
    monkeypatch.setattr(Registry, "download", download)

    found = find_in_registry("models:/main.ml.heart@champion")

    assert (found.name, found.version, found.uri) == ("main.ml.heart", "4", "models:/main.ml.heart/4")
    assert asked_of == [
        ("registry", asked),
        ("alias", "main.ml.heart", "champion"),
        ("download", "models:/main.ml.heart/4", asked),
    ]


def test_a_name_of_one_level_stays_in_the_workspaces_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "databricks")

    assert registry_of_name("heart").uri == "databricks"
    assert registry_of_name("main.ml.heart").uri == "databricks-uc"


@pytest.mark.usefixtures("store")
def test_nothing_is_printed_and_the_files_go_with_the_process() -> None:
    script = (
        "import warnings; warnings.simplefilter('default')\n"
        "from sparkscore.models.references import find_in_registry\n"
        "found = find_in_registry('models:/heart@champion')\n"
        "assert (found.path / 'MLmodel').exists()\n"
        "print(found.path)\n"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)

    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
    assert not Path(done.stdout.strip()).exists()


def free_port() -> int:
    """Find a port below those that connections get by chance, so that it is still free when the server is up."""
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as server, contextlib.suppress(OSError):
            server.bind(("127.0.0.1", port))
            return port
    pytest.fail("no port is free")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    places = ["--backend-store-uri", make_store(folder), "--artifacts-destination", str(folder / "files")]
    # Its processes run no code of sparkscore, and start faster if coverage.py does not measure them.
    own = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    # A registry runs no jobs, and eight processes that wait for some would keep the machine busy.
    own["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, *places], cwd=folder, stdout=log, stderr=log, env=own, start_new_session=True
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - a server of this test
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        else:
            return
    pytest.fail(log.read_text())


def test_a_server_gives_registered_models_runs_and_logged_models(
    server: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    filled = fill(server, None)
    logged = log_a_model()
    capfd.readouterr()

    registered = find_in_registry("models:/heart@champion")
    of_run = find_in_registry(f"runs:/{filled.run_id}/model-1")
    by_id = find_in_registry(f"models:/{logged.model_id}")
    by_run = find_in_registry(f"runs:/{logged.run_id}/tiny")

    assert capfd.readouterr() == ("", "")
    assert (registered.version, of_run.version) == ("2", filled.run_id)
    assert (of_run.path / "data" / "weights.txt").read_text() == "x" * 10
    assert (by_id.name, by_id.version, by_id.uri) == ("tiny", logged.model_id, f"models:/{logged.model_id}")
    assert (by_run.name, by_run.version) == ("tiny", logged.run_id)
    assert digest_of_path(by_id.path) == digest_of_path(by_run.path)


def log_a_model() -> Any:
    # The default experiment keeps its models below the working directory.
    experiment = mlflow.get_experiment_by_name("one")
    assert experiment is not None
    with mlflow.start_run(experiment_id=experiment.experiment_id):
        return mlflow.pyfunc.log_model(name="tiny", python_model=Tiny(), pip_requirements=[])


class Tiny(PythonModel):
    def predict(self, model_input: Any) -> Any:  # type: ignore[override]
        return model_input


@pytest.mark.usefixtures("store")
def test_a_logged_model_has_its_id_as_the_version() -> None:
    logged = log_a_model()

    found = find_in_registry(f"models:/{logged.model_id}")

    assert re.fullmatch("m-[0-9a-f]{32}", str(found.version))
    assert (found.name, found.version, found.uri) == ("tiny", logged.model_id, f"models:/{logged.model_id}")
