"""What a run keeps of its request: places to the letter, secrets not at all, and its identity by the values."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sparkscore
from sparkscore.cli import run_command_line
from sparkscore.errors import ConfigError
from sparkscore.record.runs_folder import RunFolder

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeDeployment = Callable[..., Path]
SCRIPT = """
import os

def run(frame):
    if (frame["id"] == 3).any():
        raise ValueError("login ada " + os.environ.get("DB_PASS", "") + " sk-" + "a1" * 20)
    return [os.environ.get("MAX_TOKENS", "none")] * len(frame)
"""


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    pq.write_table(pa.table({"id": range(4)}), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


def _files_below(folder: Path) -> str:
    return "\n".join(path.read_bytes().decode(errors="replace") for path in folder.rglob("*") if path.is_file())


def test_a_held_run_in_a_place_that_looks_like_a_secret_is_published_and_keeps_no_secret(
    spark: SparkSession, make_deployment: MakeDeployment, tmp_path: Path, rows: Path
) -> None:
    settings = {"error_threshold": 1, "mini_batch_size": 1, "retry_settings": {"max_retries": 0}}
    deployment = make_deployment(SCRIPT, publish="audit", settings=settings)
    output, stage = tmp_path / "token=abc" / "out", tmp_path / "token=abc" / "stage"
    secret = {"environment_variables.DB_PASS": "tr0ub4dor", "output.stage": str(stage)}
    held = sparkscore.score(spark, deployment, input=rows, output=output, run_id="held", settings=secret)
    assert held.record["state"] == "HELD"

    assert run_command_line(["publish", "held"]) == 0

    table = deltalake.DeltaTable(str(output)).to_pyarrow_table()
    assert sorted(table["id"].to_pylist()) == [0, 1, 2]
    quarantined = deltalake.DeltaTable(f"{output}_quarantine").to_pyarrow_table().to_pylist()
    assert [row["message"] for row in quarantined] == ["login ada *** ***"]
    kept = _files_below(tmp_path / "runs") + _files_below(tmp_path / "token=abc") + json.dumps(quarantined, default=str)
    assert "tr0ub4dor" not in kept
    assert "sk-a1a1" not in kept


def test_another_value_under_the_same_id_is_refused_and_a_path_like_a_secret_is_resumed(
    spark: SparkSession, make_deployment: MakeDeployment, tmp_path: Path, rows: Path
) -> None:
    deployment = make_deployment(SCRIPT, settings={"error_threshold": 1, "mini_batch_size": 1})
    output = tmp_path / "token=abc"
    options: dict[str, Any] = {"input": rows, "output": output, "run_id": "night"}
    sparkscore.score(spark, deployment, settings={"environment_variables.MAX_TOKENS": "128"}, **options)

    with pytest.raises(ConfigError) as caught:
        sparkscore.score(spark, deployment, settings={"environment_variables.MAX_TOKENS": "512"}, **options)

    assert caught.value.code == "RUN_ID_USED"
    assert "config" in str(caught.value)
    request = RunFolder(tmp_path / "runs", "night").read_request()
    assert request is not None
    assert request["options"]["output"] == str(output)
    assert run_command_line(["resume", "night"]) == 0
    assert deltalake.DeltaTable(str(output)).to_pyarrow_table()["prediction"].to_pylist() == ["128"] * 3


def test_a_delta_table_that_was_removed_and_made_again_is_another_input(
    spark: SparkSession, make_deployment: MakeDeployment, tmp_path: Path
) -> None:
    table, deployment = tmp_path / "in", make_deployment("def run(frame):\n    return frame['id'].tolist()\n")
    deltalake.write_deltalake(str(table), pa.table({"id": [1, 2]}))
    options: dict[str, Any] = {"input": table, "output": tmp_path / "out", "run_id": "night"}
    sparkscore.score(spark, deployment, **options)
    assert sparkscore.score(spark, deployment, **options).record["state"] == "COMPLETE"

    shutil.rmtree(table)
    deltalake.write_deltalake(str(table), pa.table({"id": [8, 9]}))
    with pytest.raises(ConfigError, match="another 'input'") as caught:
        sparkscore.score(spark, deployment, **options)

    assert caught.value.code == "RUN_ID_USED"
