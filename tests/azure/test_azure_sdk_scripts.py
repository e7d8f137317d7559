"""Scripts that use Azure's SDK and the helper of ParallelRunStep, run as they are."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkscore.digest import digest_of_path
from sparkscore.error_codes import ErrorCode
from sparkscore.outcome import Failure
from sparkscore.registry import quiet_mlflow
from sparkscore.scorers.failed import ScorerFailedError
from sparkscore.scorers.model_files import ModelFiles
from tests.support.registry import make_store

if TYPE_CHECKING:
    from tests.support.endpoint import Deploy


@pytest.fixture(autouse=True)
def _no_trace_of_azure() -> None:
    assert not [name for name in sys.modules if name.startswith("azureml")]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "stage" / "weights.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"bias": 100}))
    return path


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    folder = tmp_path / "stage" / "label_files"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labels.txt").write_text("cat dog")
    return folder


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> str:
    """MLflow's registry with two versions of 'inception'."""
    folder = tmp_path_factory.mktemp("registry")
    with quiet_mlflow():
        from mlflow import MlflowClient  # noqa: PLC0415 - quietly

        store = make_store(folder)
        client = MlflowClient(store, store)
        run = client.create_run(client.create_experiment("one", (folder / "artifacts").as_uri()))
        client.create_registered_model("inception")
        for count in (1, 2):
            client.log_text(run.info.run_id, f"version {count}", f"model-{count}/checkpoint.txt")
            client.create_model_version("inception", f"{run.info.artifact_uri}/model-{count}", run.info.run_id)
    return store


def files_of(path: Path, name: str, version: str = "1") -> ModelFiles:
    return ModelFiles(name, version, str(path), digest_of_path(path))


def failure_of_init(deploy: Deploy, source: str, **fields: object) -> Failure:
    with pytest.raises(ScorerFailedError) as caught:
        deploy({"score.py": source}, **fields)
    return caught.value.failure


BATCH_SCORING = """
import os
import argparse
from azureml.core.model import Model

def init():
    global checkpoint
    parser = argparse.ArgumentParser(description="Start a tensorflow model serving")
    parser.add_argument("--model_name", dest="model_name", required=True)
    parser.add_argument("--model_version", dest="model_version", type=int, default=None)
    args, _ = parser.parse_known_args()
    model_path = Model.get_model_path(args.model_name, version=args.model_version)
    assert os.path.isdir(model_path), model_path
    with open(os.path.join(model_path, "checkpoint.txt")) as f:
        checkpoint = f.read()

def run(mini_batch):
    return [checkpoint] * len(mini_batch)
"""


@pytest.mark.parametrize(("more", "found"), [((), "version 2"), (("--model_version", "1"), "version 1")])
def test_a_script_that_asks_for_a_registered_model_by_name(
    more: tuple[str, ...], found: str, deploy: Deploy, files: list[Path], registry: str
) -> None:
    endpoint = deploy({"batch_scoring.py": BATCH_SCORING}, ("--model_name", "inception", *more), tracking_uri=registry)

    assert endpoint.predictions(files) == [{"prediction": found}] * 4
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_a_script_that_asks_for_the_deployments_models_by_name(
    deploy: Deploy, files: list[Path], weights: Path, labels: Path
) -> None:
    source = """
    import json
    import os

    from azureml.core import Model

    def init():
        global weights, labels
        weights_file = Model.get_model_path("digits")
        with open(weights_file) as f:
            weights = json.load(f)
        assert weights_file == os.path.join(os.environ["AZUREML_MODEL_DIR"], "weights.json")
        folder = Model.get_model_path("labels", version=3)
        with open(os.path.join(folder, "labels.txt")) as f:
            labels = f.read().split()
        assert folder == os.path.join(os.environ["AZUREML_MODEL_DIR"], "labels", "3", "label_files")
        with open(os.path.join(folder, "cache.txt"), "w") as f:
            f.write("scripts write beside their model")

    def run(mini_batch):
        import azureml.core
        assert azureml.core.Model.get_model_path("weights.json") == Model.get_model_path("digits", "7")
        return [[weights["bias"], labels[i % 2]] for i, _ in enumerate(mini_batch)]
    """
    endpoint = deploy(
        {"score.py": source}, model=files_of(weights, "digits", "7"), models=(files_of(labels, "labels", "3"),)
    )

    assert endpoint.predictions(files[:2]) == [{"c0": 100, "c1": "cat"}, {"c0": 100, "c1": "dog"}]
    assert [path.name for path in labels.iterdir()] == ["labels.txt"]


def test_a_script_that_logs_and_writes_through_the_entry_script(
    deploy: Deploy, files: list[Path], tmp_path: Path
) -> None:
    source = '''
    """Entry script of a pipeline step."""
    from pathlib import Path

    from azureml_user.parallel_run import EntryScript

    def init():
        """Init once in a worker process."""
        entry_script = EntryScript()
        logger = entry_script.logger
        logger.debug("This will show up in files under logs/user on the Azure portal.")
        log_dir = Path(entry_script.log_dir)  # logs/user/entry_script_log/<node_id>/.
        log_dir.mkdir(parents=True, exist_ok=True)
        proc_name = entry_script.agent_name  # The process name in pattern "processNNN".
        (log_dir / f"{proc_name}_notes.txt").write_text("started")

    def run(mini_batch):
        # This class is in singleton pattern and will return same instance as the one in init()
        entry_script = EntryScript()
        logger = entry_script.logger
        logger.info(f"{__file__}: {len(mini_batch)} files.")
        output_dir = Path(entry_script.output_dir)
        for file in mini_batch:
            (output_dir / Path(file).name).write_text("scored")
        return mini_batch
    '''
    logs = tmp_path / "run" / "logs"
    endpoint = deploy({"entry_script.py": source}, log_folder=str(logs))

    assert [row["prediction"] for row in endpoint.predictions(files)] == [str(path) for path in files]
    endpoint.close()

    process = f"process{os.getpid():03d}"
    assert sorted(path.name for path in (logs / socket.gethostname()).iterdir()) == [
        f"{process}.txt",
        f"{process}_notes.txt",
    ]
    lines = (logs / socket.gethostname() / f"{process}.txt").read_text().splitlines()
    assert lines[0].endswith("|ParallelRunStep|DEBUG|This will show up in files under logs/user on the Azure portal.")
    assert lines[1].endswith("entry_script.py: 4 files.")
    assert sorted(path.name for path in endpoint.output.iterdir()) == ["a.csv", "b.csv", "c.csv", "d.csv"]


def test_a_script_with_a_dummy_helper_for_local_tests(deploy: Deploy, files: list[Path]) -> None:
    source = """
    import os

    AML_COMPUTE = "AZUREML_RUN_ID" in os.environ  # Inside AmlCompute.
    if AML_COMPUTE:
        from azureml_user.parallel_run import EntryScript
    else:  # Fallback to the dummy helper for local testing.
        from dummy_entry_script import DummyEntryScript as EntryScript

    def run(mini_batch):
        return [EntryScript().agent_name] * len(mini_batch)
    """
    dummy = "class DummyEntryScript:\n    agent_name = 'agent000'"

    assert (
        deploy({"score.py": source, "dummy_entry_script.py": dummy}).predictions(files)
        == [{"prediction": "agent000"}] * 4
    )


ASK = """
from azureml.core.model import Model

def init():
    Model.get_model_path({})

def run(mini_batch):
    return mini_batch
"""


def test_a_model_that_nobody_knows_is_the_scripts_failure_with_the_whole_sentence(
    deploy: Deploy, weights: Path, registry: str
) -> None:
    failure = failure_of_init(deploy, ASK.format("'digit'"), model=files_of(weights, "digits"), tracking_uri=registry)

    assert failure == Failure(
        code=ErrorCode.MODEL_NOT_FOUND,
        message=f"model 'digit' that the scoring script asks for: got only 'digits' in the deployment; "
        f"MLflow's registry '{registry}' has no such model or version",
        traceback_text=failure.traceback_text,
        next_step="Add it to the deployment: models: {digit: PATH}.",
    )
    assert failure.error_class == "ModelNotFoundError"


def test_another_version_than_the_deployments_is_the_scripts_failure(deploy: Deploy, weights: Path) -> None:
    failure = failure_of_init(deploy, ASK.format("'digits', version=2"), model=files_of(weights, "digits", "7"))

    assert (failure.code, failure.message) == (
        "MODEL_VERSION",
        "model 'digits' that the scoring script asks for: got version 7 in the deployment, expected version 2",
    )


def test_a_script_that_needs_more_of_azure_is_told_what_there_is(deploy: Deploy) -> None:
    source = "from azureml.core import Run\n\ndef run(mini_batch):\n    return mini_batch\n"

    failure = failure_of_init(deploy, source)

    assert (failure.code, failure.error_class) == ("SCRIPT_IMPORT", "ModuleNotFoundError")
    assert failure.place == "score.py, line 1"
    assert failure.message.startswith("'azureml.core.Run' is not here: sparkscore stands in for Azure's SDK")


def test_the_deployments_own_variables_come_before_the_drivers_registry(deploy: Deploy, files: list[Path]) -> None:
    source = (
        "import os\ndef run(mini_batch):\n"
        "    return [os.environ['MLFLOW_TRACKING_URI'] + ' ' + os.environ['MLFLOW_REGISTRY_URI'] for _ in mini_batch]"
    )
    endpoint = deploy(
        {"score.py": source}, (), {"MLFLOW_TRACKING_URI": "own"}, tracking_uri="drivers", registry_uri="drivers"
    )

    assert endpoint.predictions(files[:1]) == [{"prediction": "own drivers"}]
