"""What was scored and waits to be published: other requests, other tables, other drivers come in between."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sparkscore
from sparkscore import SparkscoreError
from sparkscore.record.listing import read_record
from sparkscore.run import discard
from sparkscore.sinks.delta import DeltaSink
from tests.support.ledger import check_ledger, read_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeDeployment = Callable[..., Path]
Score = Callable[..., sparkscore.Run]
IDS = "def run(frame): return frame['id'].tolist()"
TEXTS = "def run(frame): return [str(id) for id in frame['id']]"
FORMATS = pytest.mark.parametrize("output_format", ["delta", "parquet"])


@pytest.fixture
def score(spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment) -> Score:
    """Score 20 rows with a script into the table 'out'."""
    pq.write_table(pa.table({"id": range(20)}), tmp_path / "rows.parquet")
    made = iter(range(100))

    def run(script: str, run_id: str, publish: str = "auto", **options: Any) -> sparkscore.Run:
        deployment = make_deployment(script, f"deployment-{next(made)}", publish=publish, isolation="none")
        request: dict[str, Any] = {
            "input": tmp_path / "rows.parquet",
            "output": tmp_path / "out",
            "mode": "append",
        } | options
        return sparkscore.score(spark, deployment, run_id=run_id, **request | options)

    return run


@FORMATS
@pytest.mark.parametrize("change", [{"output": "elsewhere"}, {"settings": {"output.stage": "stages"}}], ids=str)
def test_the_id_of_a_held_run_with_another_output_is_refused_and_its_rows_stay(
    score: Score, spark: SparkSession, tmp_path: Path, output_format: str, change: dict[str, Any]
) -> None:
    score(IDS, "night", "audit", output_format=output_format)
    place = {key: tmp_path / value if key == "output" else value for key, value in change.items()}

    with pytest.raises(SparkscoreError, match=r"\[RUN_ID_USED\].*'sparkscore publish night'.*--discard"):
        score(IDS, "night", "audit", output_format=output_format, **place)
    with pytest.raises(SparkscoreError, match=r"\[RUN_ID_USED\].*'sparkscore publish night'.*--discard"):
        score(TEXTS, "night", "audit", output_format=output_format)

    check_ledger(sparkscore.publish(spark, "night").record, tmp_path / "runs", range(20))
    assert read_table(tmp_path / "out").num_rows == 20


@FORMATS
@pytest.mark.parametrize("option", [{}, {"partition_by": "prediction"}], ids=["types", "partitions"])
def test_a_held_run_that_no_longer_fits_is_refused_and_the_table_stays_readable(
    score: Score, spark: SparkSession, tmp_path: Path, output_format: str, option: dict[str, Any]
) -> None:
    score(IDS, "night", "audit", output_format=output_format)
    score(IDS if option else TEXTS, "day", output_format=output_format, **option)

    with pytest.raises(SparkscoreError, match=r"as it was before the run") as caught:
        sparkscore.publish(spark, "night")

    assert caught.value.code == ("OUTPUT_PARTITIONS_DIFFER" if option else "OUTPUT_SCHEMA_DIFFERS")
    table = read_table(tmp_path / "out")
    assert set(table.column("run_id").to_pylist()) == {"day"}
    assert table.num_rows == 20
    shutil.rmtree(tmp_path / "out" / "_delta_log", ignore_errors=True)
    for entry in (tmp_path / "out").iterdir():
        if entry.name != "_sparkscore":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    check_ledger(sparkscore.publish(spark, "night").record, tmp_path / "runs", range(20))


@FORMATS
@pytest.mark.parametrize("second", [IDS, TEXTS], ids=["the same columns", "other types"])
def test_of_two_first_runs_at_once_both_land_or_one_is_refused(
    score: Score, spark: SparkSession, tmp_path: Path, output_format: str, second: str
) -> None:
    score(IDS, "first", "audit", output_format=output_format)
    score(second, "second", "audit", output_format=output_format)
    barrier, codes = threading.Barrier(2), dict[str, str]()

    def publish(run_id: str) -> None:
        barrier.wait()
        try:
            sparkscore.publish(spark, run_id)
        except SparkscoreError as error:
            codes[run_id] = error.code

    threads = [threading.Thread(target=publish, args=[run_id]) for run_id in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert list(codes.values()) == ([] if second == IDS else ["OUTPUT_SCHEMA_DIFFERS"])
    assert read_table(tmp_path / "out").num_rows == (40 if second == IDS else 20)


def test_a_table_that_another_run_makes_just_before_the_commit_is_met_again(
    score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, others = DeltaSink.check_again, list[Any]()

    def check_then_let_another_in(sink: DeltaSink, schema: Any) -> None:
        check(sink, schema)
        if sink.target.run_id == "first" and len(others) == 1:
            others.append(score(IDS, "second", output_format="delta"))
        others.append(None)

    monkeypatch.setattr(DeltaSink, "check_again", check_then_let_another_in)
    first = score(IDS, "first", output_format="delta")

    check_ledger(first.record, tmp_path / "runs", range(20))
    assert first.record["output"]["version"] == 1
    assert read_table(tmp_path / "out").num_rows == 40


@pytest.mark.parametrize("order", ["publish", "discard"])
def test_of_two_at_once_one_publishes_or_discards_a_held_run(
    score: Score, spark: SparkSession, tmp_path: Path, order: str
) -> None:
    score(IDS, "night", "audit", output_format="parquet")
    done = list[str]()

    def work(name: str) -> None:
        try:
            sparkscore.publish(spark, "night") if name == "publish" else discard("night")
            done.append(name)
        except SparkscoreError as error:
            done.append(error.code)

    threads = [threading.Thread(target=work, args=[name]) for name in ("publish", order)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    record = read_record(tmp_path / "runs", "night").as_dict()
    assert set(done) <= {"publish", "discard", "RUN_ID_RUNNING", "RUN_NOT_HELD"}
    published = (tmp_path / "out" / "run_id=night").exists()
    assert record["state"] == ("COMPLETE" if published else "ABORT")
    assert published == ("publish" in done)
    if published:
        check_ledger(record, tmp_path / "runs", range(20))


@pytest.mark.parametrize("name", ["A=b", "a?b", "a b%", "ü:雪", "%3D"])
def test_columns_whose_names_are_escaped_in_folders_can_be_appended_to(score: Score, tmp_path: Path, name: str) -> None:
    options: dict[str, Any] = {
        "output_format": "parquet",
        "partition_by": name,
        "settings": {"columns.prediction": name},
    }
    score(IDS, "first", **options)
    run = score(IDS, "second", **options)

    check_ledger(run.record, tmp_path / "runs", range(20))
    assert sorted(row[name] for row in run.predictions().collect()) == list(range(20))


def refused_before_scoring(error: SparkscoreError) -> bool:
    assert error.record is not None
    return bool(error.record["counts"]["attempts"] == 0)


def test_a_table_that_only_takes_appends_is_not_overwritten_and_is_appended_to(
    score: Score, spark: SparkSession, tmp_path: Path
) -> None:
    score(IDS, "first")
    spark.sql(f"ALTER TABLE delta.`{tmp_path / 'out'}` SET TBLPROPERTIES ('delta.appendOnly' = 'true')")

    with pytest.raises(SparkscoreError, match="OUTPUT_APPEND_ONLY") as caught:
        score(IDS, "second", mode="overwrite")
    assert refused_before_scoring(caught.value)
    check_ledger(score(IDS, "third").record, tmp_path / "runs", range(20))


def test_a_prediction_for_a_not_null_column_is_declared_so(score: Score, spark: SparkSession, tmp_path: Path) -> None:
    score(IDS, "first")
    columns = spark.read.format("delta").load(str(tmp_path / "out")).dtypes
    shutil.rmtree(tmp_path / "out")
    ddl = ", ".join(f"{name} {kind}{' NOT NULL' if name in {'id', 'prediction'} else ''}" for name, kind in columns)
    spark.sql(f"CREATE TABLE delta.`{tmp_path / 'out'}` ({ddl}) USING delta")

    with pytest.raises(SparkscoreError, match=r"OUTPUT_NOT_NULL.*output.schema: prediction bigint NOT NULL'") as caught:
        score(IDS, "second")
    assert refused_before_scoring(caught.value)
    declared = {"settings": {"output.schema": "prediction bigint NOT NULL"}}
    check_ledger(score(IDS, "third", **declared).record, tmp_path / "runs", range(20))


@FORMATS
def test_what_lies_at_the_quarantines_place_is_refused_before_scoring(
    score: Score, tmp_path: Path, output_format: str
) -> None:
    (tmp_path / "out_quarantine").mkdir()
    (tmp_path / "out_quarantine" / "theirs.csv").touch()

    with pytest.raises(SparkscoreError, match="out_quarantine") as caught:
        score(IDS, "first", output_format=output_format, settings={"settings.error_threshold": -1})
    assert refused_before_scoring(caught.value)
    check_ledger(score(IDS, "second", output_format=output_format).record, tmp_path / "runs", range(20))


@FORMATS
def test_a_place_without_the_right_to_write_is_refused_before_scoring(
    score: Score, tmp_path: Path, output_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    score(IDS, "first", output_format=output_format)
    locked = tmp_path / "out" / ("_delta_log" if output_format == "delta" else "")
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, *rest, **more: Path(path) != locked and may(path, *rest, **more))
    monkeypatch.setattr(os, "supports_effective_ids", {os.access})

    with pytest.raises(SparkscoreError, match="OUTPUT_NOT_WRITABLE") as caught:
        score(IDS, "second", output_format=output_format)
    assert refused_before_scoring(caught.value)
