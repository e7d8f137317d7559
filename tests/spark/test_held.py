"""Runs with `publish: audit`: scored, looked at, then published or dropped."""

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
from sparkscore.run.clean import clean
from sparkscore.stage.local_store import LocalStore
from tests.support.ledger import check_ledger, read_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeDeployment = Callable[..., Path]
SCRIPT = """
def run(frame):
    if (frame["id"] == 7).any():
        raise ValueError("a bad row")
    return (frame["id"] % 3).tolist()
"""


@pytest.fixture
def hold(tmp_path: Path, spark: SparkSession, make_deployment: MakeDeployment) -> Callable[..., sparkscore.Run]:
    pq.write_table(pa.table({"id": range(100)}), tmp_path / "rows.parquet")
    deployment = make_deployment(
        SCRIPT,
        publish="audit",
        settings={"error_threshold": 1, "mini_batch_size": 20, "retry_settings": {"max_retries": 0}},
    )
    options: dict[str, Any] = {
        "input": tmp_path / "rows.parquet", "output": tmp_path / "out", "output_format": "parquet", "run_id": "night"
    }  # fmt: skip
    return lambda **more: sparkscore.score(spark, deployment, **(options | more))


DELTA: dict[str, Any] = {"output_format": "delta"}
PARQUET: dict[str, Any] = {"output_format": "parquet"}


@pytest.mark.each_spark
@pytest.mark.parametrize("options", [DELTA, PARQUET, PARQUET | {"partition_by": "prediction"}])
def test_a_held_run_shows_its_rows_and_is_published_without_input_or_model(
    hold: Callable[..., sparkscore.Run], spark: SparkSession, tmp_path: Path, options: dict[str, Any]
) -> None:
    held = hold(**options)

    assert (held.record["state"], held.record["output"]["rows"]) == ("HELD", None)
    assert {name for name, _ in held.predictions().dtypes} == set(held.record["output"]["columns"])
    rows = sorted(tuple(row) for row in held.predictions().select("id", "prediction", "run_id").collect())
    assert rows == [(number, number % 3, "night") for number in range(100) if number != 7]
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / "_sparkscore"]
    assert not (tmp_path / "out_quarantine").exists()
    failed = held.quarantine().collect()
    assert [(json.loads(row["row"])["id"], row["run_id"], row["error_class"]) for row in failed] == [
        (7, "night", "ValueError")
    ]
    for path in ("rows.parquet", "deployment"):
        shutil.rmtree(tmp_path / path) if (tmp_path / path).is_dir() else (tmp_path / path).unlink()

    run = sparkscore.publish(spark, "night")

    check_ledger(run.record, tmp_path / "runs", range(100))
    assert run.record["stage"] is None
    assert run.predictions().count() == 99
    again = sparkscore.publish(spark, "night")
    assert again.record == run.record
    assert [run.quarantine().collect(), again.quarantine().collect()] == [failed, failed]
    calls = pq.read_table(tmp_path / "runs" / "night" / "attempts.parquet")
    assert run.attempts().columns == calls.column_names
    assert run.attempts().toArrow().sort_by("mini_batch").equals(calls.sort_by("mini_batch"))


def test_a_held_run_is_not_scored_again_nor_cleaned(hold: Callable[..., sparkscore.Run], spark: SparkSession) -> None:
    first = hold()

    clean()
    again = hold()

    assert again.record == first.record
    assert again.predictions().count() == 99
    assert sparkscore.publish(spark, "night").record["counts"] == first.record["counts"]


def test_a_held_run_can_be_dropped(
    hold: Callable[..., sparkscore.Run], spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hold()
    capsys.readouterr()

    code = run_command_line(["publish", "night", "--discard", "--json"])

    record = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (record["state"], record["stage"]) == ("ABORT", None)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    with pytest.raises(sparkscore.SparkscoreError, match="RUN_NOT_HELD"):
        sparkscore.publish(spark, "night")
    assert hold().record["state"] == "HELD"


def test_publishing_that_failed_can_be_repeated_alone(
    hold: Callable[..., sparkscore.Run], spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(LocalStore, "link", full)
        with pytest.raises(sparkscore.SparkscoreError, match="PUBLISH_FAILED"):
            sparkscore.publish(spark, "night")

    run = sparkscore.publish(spark, "night")

    check_ledger(run.record, tmp_path / "runs", range(100))
    assert read_table(tmp_path / "out").num_rows == 99


def test_a_run_that_is_not_there_or_has_nothing_staged_is_not_published(
    hold: Callable[..., sparkscore.Run], spark: SparkSession, tmp_path: Path
) -> None:
    with pytest.raises(sparkscore.SparkscoreError, match="RUN_NOT_FOUND"):
        sparkscore.publish(spark, "night")
    (tmp_path / "rows.parquet").unlink()
    with pytest.raises(sparkscore.SparkscoreError):
        hold()
    with pytest.raises(sparkscore.SparkscoreError, match="RUN_NOT_HELD"):
        sparkscore.publish(spark, "night")


def test_a_held_run_whose_output_changed_is_published_once_that_is_undone(
    hold: Callable[..., sparkscore.Run], spark: SparkSession, tmp_path: Path
) -> None:
    table = tmp_path / "out"
    hold(**DELTA, run_id="first")
    sparkscore.publish(spark, "first")
    hold(**DELTA, mode="append")
    rows = read_table(table)
    deltalake.write_deltalake(table, rows, mode="overwrite", schema_mode="overwrite", partition_by=["prediction"])

    with pytest.raises(sparkscore.SparkscoreError, match="OUTPUT_PARTITIONS_DIFFER") as refused:
        sparkscore.publish(spark, "night")

    assert "what was scored is staged" in str(refused.value)
    assert "then 'sparkscore publish night'" in str(refused.value)
    deltalake.DeltaTable(table).restore(0)
    run = sparkscore.publish(spark, "night")
    assert (run.record["state"], run.predictions().count()) == ("COMPLETE", 99)
    assert read_table(table).num_rows == 198
