from __future__ import annotations

from typing import Any

import pytest

from sparkscore.config import Deployment
from sparkscore.errors import LineageError
from sparkscore.record.run_record import new_record
from sparkscore.run.recorded_deployment import deployment_of, run_id_column

CONFIG: dict[str, Any] = Deployment.model_validate({"output": {"location": "/out", "format": "parquet"}}).effective()


def test_the_deployment_of_a_record_is_that_of_the_run() -> None:
    found = deployment_of(new_record("night", None, CONFIG))

    assert (found.output.location, found.output.format) == ("/out", "parquet")
    assert found.effective() == CONFIG


@pytest.mark.parametrize(
    ("config", "got"),
    [
        ({**CONFIG, "chunks": 3}, "'chunks'"),
        ({**CONFIG, "output": {**CONFIG["output"], "format": "csv"}}, "'output.format'"),
        ({**CONFIG, "output": {**CONFIG["output"], "location": None}}, "no output"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_refused_by_its_keys(config: dict[str, Any], got: str) -> None:
    with pytest.raises(LineageError, match=r"\[RECORD_CONFIG\].*run 'night'") as caught:
        deployment_of(new_record("night", None, config))

    assert got in caught.value.got
    assert "Nothing was published or discarded" in caught.value.state


def test_the_run_id_column_may_be_renamed() -> None:
    assert run_id_column(Deployment.model_validate({"columns": {"run_id": "batch"}})) == "batch"
    assert run_id_column(Deployment.model_validate({})) == "run_id"
