"""What a run does must not depend on who reads the rows: Spark, or the workers themselves."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from onnx import TensorProto, helper
from pyspark.sql import SparkSession

import sparkscore
from sparkscore.errors import ConfigError, SourceError, SparkscoreError
from tests.support.all_types import NAMES, comparable, write_all_types, written_rows
from tests.support.ledger import check_ledger, read_table

MakeDeployment = Callable[..., Path]
READERS = ("spark", "worker")

# Each row of the result shows the mini-batch that the row was in.
SHOWS_ITS_MINI_BATCH = """
def run(frame):
    shown = f"{len(frame)} rows from {frame['id'].iloc[0]}"
    return [shown] * len(frame)
"""
FAILS_FOR_SOME_ROWS = """
def run(frame):
    if (frame["id"] % 10 == 3).any():
        raise ValueError("three")
    return [float(value) for value in frame["x"]]
"""


def write_rows(folder: Path, sizes: list[int], row_group_size: int) -> int:
    """Write files with ids that count on from file to file, texts of many lengths, and NULLs; return the row count."""
    folder.mkdir()
    first = 0
    for number, size in enumerate(sizes):
        ids = range(first, first + size)
        texts = [None if each % 11 == 0 else "x" * (each % 17) for each in ids]
        flags = [None if each % 5 == 0 and number % 2 else each % 2 == 0 for each in ids]
        rows = pa.table({"id": ids, "x": [each / 3 for each in ids], "text": texts, "flag": flags})
        pq.write_table(rows, folder / f"{number:03}.parquet", row_group_size=row_group_size)
        first += size
    return first


def score(spark: SparkSession, tmp_path: Path, deployment: Path | None, reader: str, **options: Any) -> sparkscore.Run:
    settings = {"input.reader": reader, **options.pop("settings", {})}
    run = sparkscore.score(
        spark,
        deployment,
        input=options.pop("input", tmp_path / "in"),
        output=tmp_path / f"out-{reader}",
        run_id=f"by-{reader}",
        settings=settings,
        **options,
    )
    assert run.record["input"]["reader"] == reader
    return run


def rows_of(run: sparkscore.Run, *without: str) -> list[dict[str, Any]]:
    """Return the rows of a result by id, without what differs from run to run."""
    table = read_table(Path(run.record["output"]["location"]))
    return sorted(table.drop_columns(["run_id", "scored_at", *without]).to_pylist(), key=lambda row: row["id"])


@pytest.mark.parametrize("size", [7, 1000, "333B"])
def test_both_readers_give_the_same_rows_in_the_same_mini_batches(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, size: int | str
) -> None:
    count = write_rows(tmp_path / "in", [57, 1, 300, 12], row_group_size=40)
    deployment = make_deployment(SHOWS_ITS_MINI_BATCH, settings={"mini_batch_size": size})

    by_spark, by_workers = (score(spark, tmp_path, deployment, reader) for reader in READERS)

    assert len(rows_of(by_workers)) == count
    assert rows_of(by_workers) == rows_of(by_spark)
    assert by_workers.record["counts"] == by_spark.record["counts"]
    assert by_workers.record["input"]["columns"] == by_spark.record["input"]["columns"]
    assert by_workers.record["model_loads"] == by_workers.record["worker_processes"]


def test_only_large_files_are_cut_where_spark_splits_them_or_at_row_groups(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With lower limits, a small file is cut as one of more than 128 MB."""
    count = write_rows(tmp_path / "in", [300], row_group_size=40)
    by_rows = make_deployment(SHOWS_ITS_MINI_BATCH, settings={"mini_batch_size": 7})
    by_bytes = make_deployment(SHOWS_ITS_MINI_BATCH, name="bytes", settings={"mini_batch_size": "333B"})
    inside = set(range(40, count, 40)) - set(range(0, count, 7))  # row groups that begin inside a mini-batch
    monkeypatch.setattr("sparkscore.row_units._LEAST_CUT", 1)

    spark.conf.set("spark.sql.files.maxPartitionBytes", "3000")
    try:
        of_spark, of_workers = (starts_of(score(spark, tmp_path, by_rows, reader)) for reader in READERS)
    finally:
        spark.conf.unset("spark.sql.files.maxPartitionBytes")
    in_bytes = starts_of(sparkscore.score(spark, by_bytes, input=tmp_path / "in", output=tmp_path / "out-bytes"))

    assert of_workers == set(range(0, count, 7))
    assert of_spark & inside
    assert in_bytes & inside


def starts_of(run: sparkscore.Run) -> set[int]:
    """Return the first id of each mini-batch."""
    return {int(row["prediction"].split()[-1]) for row in rows_of(run)}


def test_failed_rows_are_quarantined_as_they_were_and_counted_alike(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    count = write_rows(tmp_path / "in", [35, 20], row_group_size=10)
    settings = {"mini_batch_size": 8, "error_threshold": -1, "retry_settings": {"max_retries": 0}}
    deployment = make_deployment(FAILS_FOR_SOME_ROWS, settings=settings)

    by_spark, by_workers = (score(spark, tmp_path, deployment, reader) for reader in READERS)

    assert rows_of(by_workers) == rows_of(by_spark)
    assert by_workers.record["counts"] == by_spark.record["counts"]
    failed = [read_table(Path(run.record["quarantine"]["location"])).to_pylist() for run in (by_spark, by_workers)]
    shown = [sorted((row["row"], row["source_file"], row["message"]) for row in rows) for rows in failed]
    assert shown[0] == shown[1]
    check_ledger(by_workers.record, tmp_path / "runs", range(count))


def test_both_readers_give_the_same_rows_of_a_delta_table(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    count = write_rows(tmp_path / "files", [57, 1, 90], row_group_size=20)
    rows = spark.read.parquet(str(tmp_path / "files")).selectExpr(
        "*", "id % 2 AS half", "date_add('2026-01-01', 1) AS day"
    )
    rows.write.format("delta").partitionBy("half", "day").save(str(tmp_path / "in"))
    settings = {"mini_batch_size": 8, "error_threshold": -1, "retry_settings": {"max_retries": 0}}
    deployment = make_deployment(FAILS_FOR_SOME_ROWS, settings=settings)

    by_spark, by_workers = (score(spark, tmp_path, deployment, reader) for reader in READERS)

    assert rows_of(by_workers) == rows_of(by_spark)
    # The probe tries the first mini-batches, and Spark and the workers begin with other files.
    counts = [run.record["counts"] | {"probe_calls": 0} for run in (by_spark, by_workers)]
    assert counts[0] == counts[1]
    failed = [read_table(Path(run.record["quarantine"]["location"])).to_pylist() for run in (by_spark, by_workers)]
    shown = [sorted((row["row"], row["source_file"], row["message"]) for row in rows) for rows in failed]
    assert shown[0] == shown[1]
    assert shown[0]
    check_ledger(by_workers.record, tmp_path / "runs", range(count))


def test_a_model_gets_its_columns_only_and_the_quarantine_all(spark: SparkSession, tmp_path: Path) -> None:
    write_rows(tmp_path / "in", [35, 20], row_group_size=10)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "id"], ["found"])],
        "lookup",
        [helper.make_tensor_value_info("id", TensorProto.INT64, [None])],
        [helper.make_tensor_value_info("found", TensorProto.FLOAT, [None])],
        [helper.make_tensor("table", TensorProto.FLOAT, [50], [each / 2 for each in range(50)])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "model.onnx")
    settings = {
        "settings.error_threshold": -1,
        "settings.mini_batch_size": 20,
        "settings.retry_settings.max_retries": 0,
        "output.carry": ["id", "flag"],
    }

    found = [
        score(spark, tmp_path, None, reader, model=tmp_path / "model.onnx", settings=settings) for reader in READERS
    ]

    assert rows_of(found[1]) == rows_of(found[0])
    assert found[1].record["counts"] == found[0].record["counts"]
    assert found[1].record["counts"]["failed"] == 5
    failed = read_table(Path(found[1].record["quarantine"]["location"])).to_pylist()
    rows = [json.loads(row["row"]) for row in failed]
    assert sorted(row["id"] for row in rows) == list(range(50, 55))
    assert all(set(row) == {"id", "x", "text", "flag"} for row in rows)
    assert {row["id"]: row["text"] for row in rows}[52] == "x" * (52 % 17)


def test_all_types_and_the_keys_of_folders_come_through_unchanged(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    write_all_types(tmp_path / "in")
    deployment = make_deployment("def run(frame):\n    return [1] * len(frame)\n", input={"dtypes": "arrow"})

    by_spark, by_workers = (score(spark, tmp_path, deployment, reader) for reader in READERS)

    tables = [read_table(Path(run.record["output"]["location"])) for run in (by_spark, by_workers)]
    assert tables[0].schema == tables[1].schema
    expected = written_rows()
    for table in tables:
        rows = table.select(["id", "day", *NAMES[1:]]).to_pylist()
        assert {row.pop("id"): comparable(row) for row in rows} == expected


def test_what_only_the_workers_can_read_is_scored_exactly(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    (tmp_path / "in").mkdir()
    keys = [uuid.UUID(int=2**127 + 5), None, uuid.UUID(int=0)]
    stored = {
        "id": range(3),
        "half": pa.array([0.5, None, 65504.0], pa.float16()),
        "key": pa.array([None if key is None else key.bytes for key in keys], pa.uuid()),
    }
    pq.write_table(pa.table({**stored, "n": [2**53, None, 3]}), tmp_path / "in" / "a.parquet", compression="brotli")
    pq.write_table(pa.table({**stored, "id": range(3, 6), "n": [0.5, None, -0.0]}), tmp_path / "in" / "b.parquet")
    deployment = make_deployment("def run(frame):\n    return [1] * len(frame)\n", settings={"mini_batch_size": 2})

    run = sparkscore.score(spark, deployment, input=tmp_path / "in", output=tmp_path / "out")

    texts = [None if key is None else str(key) for key in keys]
    assert run.record["input"]["reader"] == "worker"
    assert [run.record["input"]["columns"][name] for name in ("half", "key", "n")] == ["float", "string", "double"]
    found = [(row["id"], row["half"], row["key"], repr(row["n"])) for row in rows_of(run)]
    assert found == [
        (row, [0.5, None, 65504.0][row % 3], texts[row % 3], n)
        for row, n in enumerate(["9007199254740992.0", "None", "3.0", "0.5", "None", "-0.0"])
    ]


@pytest.mark.parametrize("reader", READERS)
def test_an_integer_that_a_double_cannot_hold_is_refused_where_another_file_has_doubles(
    reader: str, spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"id": [1], "n": [2**53 + 1]}), tmp_path / "in" / "a.parquet")
    pq.write_table(pa.table({"id": [2], "n": [0.5]}), tmp_path / "in" / "b.parquet")
    deployment = make_deployment("def run(frame):\n    return [1] * len(frame)\n")

    with pytest.raises(SparkscoreError, match="a bigint that double does not hold exactly") as caught:
        score(spark, tmp_path, deployment, reader)

    assert caught.value.code == "INPUT_VALUE"


def test_an_encoding_that_spark_cannot_decode_is_named_where_spark_must_read(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    values = [0.1, None, float("nan"), -0.0, 1.5]
    rows = pa.table({"id": range(5), "x": values, "single": pa.array(values, pa.float32())})
    file = tmp_path / "in" / "a.parquet"
    file.parent.mkdir()
    split = dict.fromkeys(("x", "single"), "BYTE_STREAM_SPLIT")
    pq.write_table(rows, file, use_dictionary=False, column_encoding=split)
    output = {"carry": ["id", "x", "single"], "schema": "prediction bigint"}
    deployment = make_deployment("def run(frame):\n    return [1] * len(frame)\n", output=output)

    by_workers = score(spark, tmp_path, deployment, "worker")
    with pytest.raises(SourceError) as caught:
        score(spark, tmp_path, deployment, "spark")

    assert repr([(row["x"], row["single"]) for row in rows_of(by_workers)]) == repr(
        list(zip(values, rows["single"].to_pylist(), strict=True))
    )
    assert caught.value.code == "INPUT_UNREADABLE"
    assert f"'{file}': got values with the encoding BYTE_STREAM_SPLIT, expected " in str(caught.value)
    assert "input.reader: worker" in caught.value.next_step


def test_each_file_is_one_mini_batch_where_azure_passes_whole_files(spark: SparkSession, tmp_path: Path) -> None:
    write_rows(tmp_path / "in", [57, 3, 90], row_group_size=20)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "same",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, [None])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "model.onnx")
    azure = {
        "$schema": "https://azuremlschemas.azureedge.net/latest/batchDeployment.schema.json",
        "name": "whole-files",
        "model": {"path": "model.onnx"},
    }
    (tmp_path / "deployment.yml").write_text(yaml.safe_dump(azure))

    by_spark, by_workers = (score(spark, tmp_path, tmp_path / "deployment.yml", reader) for reader in READERS)

    assert rows_of(by_workers) == rows_of(by_spark)
    for run in (by_spark, by_workers):
        attempts = pq.read_table(tmp_path / "runs" / run.record["run_id"] / "attempts.parquet").to_pylist()
        assert sorted(attempt["items"] for attempt in attempts) == [3, 57, 90]


def test_a_thousand_files_are_read_by_the_workers(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    count = write_rows(tmp_path / "in", [2] * 1000, row_group_size=10)
    deployment = make_deployment(SHOWS_ITS_MINI_BATCH)

    run = sparkscore.score(spark, deployment, input=tmp_path / "in", output=tmp_path / "out")

    assert run.record["input"]["reader"] == "worker"
    assert run.record["input"]["reader_reason"] is None
    assert run.record["counts"]["mini_batches"] == 1000
    check_ledger(run.record, tmp_path / "runs", range(count))


def test_a_run_that_the_workers_cannot_read_says_why(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("id,x\n1,2\n")
    deployment = make_deployment(SHOWS_ITS_MINI_BATCH)

    with pytest.raises(ConfigError, match=r"\[INPUT_READER\].*format csv.*'input\.reader: auto'"):
        sparkscore.score(
            spark, deployment, input=tmp_path / "in", output=tmp_path / "out", settings={"input.reader": "worker"}
        )
    run = sparkscore.score(spark, deployment, input=tmp_path / "in", output=tmp_path / "out")

    assert (run.record["input"]["reader"], run.record["input"]["reader_reason"]) == (
        "spark",
        "the input has the format csv",
    )


def test_a_file_that_changes_while_the_workers_read_is_found(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    write_rows(tmp_path / "in", [20, 20], row_group_size=10)
    gone = tmp_path / "in" / "001.parquet"
    deployment = make_deployment(
        f"""
        import os

        def run(frame):
            if os.path.exists({str(gone)!r}):
                os.truncate({str(gone)!r}, 100)
            return [1] * len(frame)
        """,
        output={"schema": "prediction bigint", "carry": []},
        settings={"mini_batch_size": 5},
    )

    with pytest.raises(SourceError, match=r"\[INPUT_CHANGED\].*001\.parquet"):
        sparkscore.score(spark, deployment, input=tmp_path / "in", output=tmp_path / "out")
