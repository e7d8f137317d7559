from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparkscore.errors import ConfigError, Faults, ModelNotFoundError, ScoringScriptError, SparkscoreError
from sparkscore.run.prepare import prepare

MakeDeployment = Callable[..., Path]
GOOD = "def run(b): return b"
CODES = ("SCRIPT_NOT_FOUND", "MODEL_NOT_FOUND", "gone.pkl", "gone.txt", "INPUT_NOT_FOUND")


def refused(deployment: Path, **options: Any) -> SparkscoreError:
    with pytest.raises(SparkscoreError) as caught:
        prepare(deployment, **options)
    return caught.value


def test_a_missing_script_and_a_missing_model_are_said_together(make_deployment: MakeDeployment) -> None:
    deployment = make_deployment(GOOD, model={"path": "gone.pkl"}, models={"words": "gone.txt"})
    (deployment.parent / "code" / "score.py").unlink()

    error = refused(deployment, run_id="7", input="nowhere/*.csv")

    assert (error.code, type(error)) == ("RUN_ID", ConfigError)
    assert [code for code in CODES if code not in str(error)] == []


def test_a_wrong_deployment_tells_of_the_files_that_it_names(make_deployment: MakeDeployment) -> None:
    deployment = make_deployment("def score(b): ...", model={"path": "gone.pkl"}, settings={"mini_batch": 1})

    error = refused(deployment)

    assert error.code == "CONFIG_UNKNOWN_KEY"
    assert "SCRIPT_NO_RUN" in error.next_step
    assert "MODEL_NOT_FOUND" in error.next_step


@pytest.mark.parametrize(
    "sections",
    [
        {"model": {"path": "azureml:heart:3"}},
        {"model": {"path": "${{inputs.model}}"}},
        {"input": {"location": "table:a"}, "output": {"location": "table:b"}},
    ],
)
def test_what_cannot_be_looked_for_is_said_once(make_deployment: MakeDeployment, sections: dict[str, Any]) -> None:
    error = refused(make_deployment(GOOD, **sections))

    assert error.code in {"MODEL_REFERENCE", "AZURE_EXPRESSION", "NOT_SUPPORTED_YET"}
    assert "NOT_FOUND" not in str(error)
    assert ("output.location" in error.next_step) is (error.code == "NOT_SUPPORTED_YET")


def test_one_fault_reads_as_before(make_deployment: MakeDeployment) -> None:
    error = refused(make_deployment(GOOD, model={"path": "gone.pkl"}))

    assert isinstance(error, ModelNotFoundError)
    assert "Also" not in str(error)
    assert isinstance(refused(make_deployment("x = 1", "other")), ScoringScriptError)


def test_no_fault_is_no_error(make_deployment: MakeDeployment) -> None:
    Faults().raise_all()

    assert prepare(make_deployment(GOOD)).script is not None
