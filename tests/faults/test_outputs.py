"""Faults of the output, with the numbers of the catalogue in docs/reliability.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sparkscore
from sparkscore import SparkscoreError
from sparkscore.run.verdict import decide
from tests.support.ledger import check_ledger, read_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.faults
MakeDeployment = Callable[..., Path]
IDS = "def run(frame): return frame['id'].tolist()"
FORMATS = pytest.mark.parametrize("output_format", ["delta", "parquet"])


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    pq.write_table(pa.table({"id": range(100)}), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


@FORMATS
@pytest.mark.parametrize("mode", ["append", "overwrite", "error"])
def test_77_of_two_runs_into_one_table_none_is_torn(
    mode: str,
    output_format: str,
    *,
    spark: SparkSession,
    tmp_path: Path,
    rows: Path,
    make_deployment: MakeDeployment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deployment = make_deployment(IDS, output={"format": output_format, "mode": mode})
    others = list[Any]()

    def decide_after_the_other(*arguments: Any) -> None:
        """Publish a whole other run between the first one's check of the output and its publishing."""
        decide(*arguments)
        if not others:
            others.append(None)
            others.append(sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out", run_id="other"))

    monkeypatch.setattr("sparkscore.run.pipeline.decide", decide_after_the_other)
    if mode == "error":
        with pytest.raises(SparkscoreError) as caught:
            sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out", run_id="first")
        assert caught.value.code in {"OUTPUT_EXISTS", "PUBLISH_FAILED"}
        check_ledger(others[1].record, tmp_path / "runs", range(100))
        assert read_table(tmp_path / "out").num_rows == 100
        return
    first = sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out", run_id="first")

    check_ledger(first.record, tmp_path / "runs", range(100))
    if mode == "append":
        check_ledger(others[1].record, tmp_path / "runs", range(100))
    assert read_table(tmp_path / "out").num_rows == (200 if mode == "append" else 100)


@pytest.mark.parametrize("mode", ["append", "overwrite", "error"])
@pytest.mark.parametrize(
    ("there", "output_format"), [("delta", "parquet"), ("parquet", "delta"), ("file", "delta"), ("file", "parquet")]
)
def test_81_what_is_no_such_table_is_refused_before_scoring_and_left_alone(
    there: str,
    output_format: str,
    mode: str,
    *,
    spark: SparkSession,
    tmp_path: Path,
    rows: Path,
    make_deployment: MakeDeployment,
) -> None:
    if there == "file":
        (tmp_path / "out").write_text("precious")
    else:
        (tmp_path / "out").mkdir()
        spark.range(3).write.format(there).mode("append").save(str(tmp_path / "out"))
    before = sorted(str(path) for path in (tmp_path / "out").rglob("*"))

    with pytest.raises(SparkscoreError) as caught:
        sparkscore.score(
            spark, make_deployment(IDS), input=rows, output=tmp_path / "out", output_format=output_format, mode=mode
        )

    assert caught.value.exit_code == 2
    assert caught.value.code.startswith("OUTPUT_")
    assert caught.value.record is not None
    assert caught.value.record["counts"] == {**caught.value.record["counts"], "attempts": 0, "probe_calls": 0}
    assert sorted(str(path) for path in (tmp_path / "out").rglob("*")) == before


ODD_VALUES = [
    "01", "1", "1.0", "true", "null", "a/b", "a=b", "100%", "a:b", "#", "?", "it's", '"', "a\\b", " a ", "new\nline",
    "tab\t", "{a,b}", "[1]", "*", "..", "~", "é", "e\u0301", "\U0001f600", "A", "a", None, "2026-01-02", "x" * 200,
]  # fmt: skip


@FORMATS
def test_86_and_87_partition_values_come_back_as_they_were(
    output_format: str, spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    pq.write_table(pa.table({"id": range(len(ODD_VALUES))}), tmp_path / "rows.parquet")
    deployment = make_deployment(
        f"VALUES = {ODD_VALUES!r}\ndef run(frame): return [{{'key': VALUES[id]}} for id in frame['id']]",
        output={"format": output_format, "partition_by": "key", "schema": "key string", "carry": ["id"]},
    )

    run = sparkscore.score(spark, deployment, input=tmp_path / "rows.parquet", output=tmp_path / "out")

    check_ledger(run.record, tmp_path / "runs", range(len(ODD_VALUES)))
    assert {row["id"]: row["key"] for row in run.predictions().collect()} == dict(enumerate(ODD_VALUES))
    if output_format == "delta":
        rows = read_table(tmp_path / "out").to_pylist()
        assert {row["id"]: row["key"] for row in rows} == dict(enumerate(ODD_VALUES))


@FORMATS
@pytest.mark.parametrize("value", ["", "__HIVE_DEFAULT_PARTITION__", "a\0b", "x" * 300], ids=range(4))
def test_85_a_partition_value_that_would_be_changed_costs_its_row_alone(
    value: str, output_format: str, spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment
) -> None:
    deployment = make_deployment(
        f"def run(frame): return [{{'key': {value!r} if id == 50 else None if id % 2 else 'b'}} for id in frame['id']]",
        settings={"error_threshold": 1, "retry_settings": {"max_retries": 0}},
        output={"format": output_format, "partition_by": "key", "schema": "key string", "carry": ["id"]},
    )

    run = sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    check_ledger(run.record, tmp_path / "runs", range(100))
    (failed,) = read_table(tmp_path / "out_quarantine").to_pylist()
    assert (failed["row"], failed["error_code"]) == ('{"id": 50}', "OUTPUT_PARTITION_VALUE")
    assert all((row["key"] is None) == (row["id"] % 2) for row in run.predictions().collect())


def test_88_thousands_of_partitions_need_few_open_files(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    pq.write_table(pa.table({"id": range(2000)}), tmp_path / "rows.parquet")
    deployment = make_deployment(
        "def run(frame): return [{'key': id} for id in frame['id'].tolist()]",
        output={"format": "parquet", "partition_by": "key", "schema": "key bigint", "carry": ["id"]},
    )

    run = sparkscore.score(spark, deployment, input=tmp_path / "rows.parquet", output=tmp_path / "out")

    check_ledger(run.record, tmp_path / "runs", range(2000))
    assert len(list((tmp_path / "out" / f"run_id={run.record['run_id']}").glob("key=*"))) == 2000


@FORMATS
@pytest.mark.parametrize("partition_by", [[], ["prediction"]], ids=["flat", "partitioned"])
def test_89_a_run_that_scored_nothing_replaces_nothing(
    partition_by: list[str],
    output_format: str,
    spark: SparkSession,
    tmp_path: Path,
    rows: Path,
    make_deployment: MakeDeployment,
) -> None:
    output = {"format": output_format, "partition_by": partition_by, "schema": "prediction bigint", "carry": ["id"]}
    good = make_deployment(IDS, "good", output=output)
    first = sparkscore.score(spark, good, input=rows, output=tmp_path / "out")
    bad = make_deployment("def run(frame): return []", "bad", settings={"error_threshold": -1}, output=output)

    with pytest.raises(SparkscoreError) as caught:
        sparkscore.score(spark, bad, input=rows, output=tmp_path / "out", mode="overwrite")

    assert caught.value.code == "OUTPUT_ROWS"
    check_ledger(first.record, tmp_path / "runs", range(100))
    assert not (tmp_path / "out_quarantine").exists()


@pytest.mark.parametrize("output", ["s3://bucket/out", "s3a://bucket/out", "abfss://data@store/out", "hdfs://name/out"])
def test_91_a_store_without_a_rename_that_is_known_to_be_safe_is_refused(
    output: str, spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment
) -> None:
    deployment = make_deployment(IDS, output={"format": "parquet"})

    with pytest.raises(SparkscoreError) as caught:
        sparkscore.score(spark, deployment, input=rows, output=output)

    assert (caught.value.code, caught.value.exit_code) == ("LOCATION_REMOTE", 2)
    assert not list(tmp_path.rglob("_sparkscore"))


def test_93_a_table_that_forgets_transactions_is_asked_for_its_history(
    spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment
) -> None:
    deployment = make_deployment(IDS, output={"mode": "append"})
    options: dict[str, Any] = {"input": rows, "output": tmp_path / "out", "run_id": "night"}
    sparkscore.score(spark, deployment, **options)
    spark.sql(
        f"ALTER TABLE delta.`{tmp_path / 'out'}` SET TBLPROPERTIES"
        " ('delta.setTransactionRetentionDuration' = 'interval 0 seconds')"
    )
    again = sparkscore.score(spark, deployment, **options)
    check_ledger(again.record, tmp_path / "runs", range(100))
    rmtree(tmp_path / "runs")

    with pytest.raises(SparkscoreError) as caught:
        sparkscore.score(spark, deployment, **options)

    assert caught.value.code == "RUN_PUBLISHED"
    assert read_table(tmp_path / "out").num_rows == 100
