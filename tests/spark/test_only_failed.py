"""`--only-failed`: what was quarantined is scored again, and nothing else."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sparkscore
from sparkscore.cli import run_command_line
from tests.support.ledger import check_ledger, read_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeDeployment = Callable[..., Path]
TOLERANT = {"error_threshold": -1, "mini_batch_size": 10, "retry_settings": {"max_retries": 0}}
AT = dt.datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC)
ROWS = pa.table(
    {
        "id": pa.array(range(100), pa.int64()),
        "exact": pa.array([Decimal("1234567890.12")] * 100, pa.decimal128(12, 2)),
        "at": pa.array([AT] * 100, pa.timestamp("us", "UTC")),
        "day": pa.array([dt.date(1, 1, 1)] * 100),
        "number": pa.array([float("nan"), -0.0, 1e308, None] * 25),
        "small": pa.array([0.1] * 100, pa.float32()),
        "bytes": pa.array([b"\x00\xff"] * 100),
        "parts": pa.array(
            [[{"a": 2**62, "b": None}]] * 100, pa.list_(pa.struct([("a", pa.int64()), ("b", pa.string())]))
        ),
    }
)


def script(*poison: int) -> str:
    return (
        f"def run(frame):\n    if frame['id'].isin({list(poison)}).any():\n        raise ValueError('bad')\n"
        "    return (frame['id'] * 2).tolist()"
    )


@pytest.mark.each_spark
@pytest.mark.parametrize("output_format", [pytest.param("delta", marks=pytest.mark.faults), "parquet"])
def test_rows_come_back_to_the_bit_and_join_those_that_were_scored(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, output_format: str
) -> None:
    pq.write_table(ROWS, tmp_path / "rows.parquet")
    options: dict[str, Any] = {"output": tmp_path / "out", "output_format": output_format}
    deployment = make_deployment(script(0, 7, 99), settings=TOLERANT)
    first = sparkscore.score(spark, deployment, **options, input=tmp_path / "rows.parquet")
    code = deployment.parent / "code" / "score.py"
    code.write_text(script(99))

    second = sparkscore.score(spark, deployment, **options, only_failed=first.record["run_id"])

    check_ledger(first.record, tmp_path / "runs", range(100))
    check_ledger(second.record, tmp_path / "runs", [0, 7, 99])
    assert second.record["input"]["format"] == "quarantine"
    both = read_table(tmp_path / "out").sort_by("id")
    assert both["id"].to_pylist() == list(range(99))
    whole = pq.read_table(tmp_path / "rows.parquet").slice(0, 99)
    for name in ROWS.column_names:
        assert (
            both[name].cast(whole[name].type).combine_chunks().to_pylist().__repr__()
            == whole[name].to_pylist().__repr__()
        )
    assert set(both["source_file"].to_pylist()) == {str(tmp_path / "rows.parquet")}
    code.write_text(script())
    third = sparkscore.score(spark, deployment, **options, only_failed=second.record["run_id"])
    assert third.record["counts"] | {"attempts": 0, "probe_calls": 0} == {
        "items": 1, "scored": 1, "failed": 0, "skipped": 0, "mini_batches": 1, "attempts": 0, "probe_calls": 0,
        "scored_in_parts": 0, "broken_contracts": 0,
    }  # fmt: skip


def test_files_come_back_by_the_request_of_the_run_alone(
    spark: SparkSession,
    tmp_path: Path,
    make_deployment: MakeDeployment,
    sparkscore_here: Callable[..., Any],
) -> None:
    del spark  # the command finds this session
    (tmp_path / "in").mkdir()
    for number in range(12):
        (tmp_path / "in" / f"{number} [x].txt").write_text("x" * number)
    fails = "def run(files):\n    assert not any('7 ' in file for file in files)\n    return [1] * len(files)"
    deployment = make_deployment(fails, settings=TOLERANT)
    command = ("run", deployment, "--input", tmp_path / "in", "--input-format", "files", "--output", tmp_path / "out")
    first = json.loads(sparkscore_here(*command, "--json"))
    (deployment.parent / "code" / "score.py").write_text("def run(files): return [2] * len(files)")

    second = json.loads(sparkscore_here("run", "--only-failed", first["run_id"], "--json"))

    assert (first["counts"]["failed"], second["counts"]["scored"]) == (1, 1)
    check_ledger(second, tmp_path / "runs", [str(tmp_path / "in" / "7 [x].txt")], key=None)
    assert second["output"]["mode"] == "append"
    assert read_table(tmp_path / "out").num_rows == 12


@pytest.fixture
def sparkscore_here(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., str]:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> str:
        assert run_command_line([str(argument) for argument in arguments]) == 0, capfd.readouterr().err
        return capfd.readouterr().out

    return call


def test_a_run_without_failures_has_none_to_score(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    pq.write_table(ROWS, tmp_path / "rows.parquet")
    deployment = make_deployment(script())
    run = sparkscore.score(
        spark, deployment, input=tmp_path / "rows.parquet", output=tmp_path / "out", output_format="parquet"
    )

    with pytest.raises(sparkscore.SparkscoreError, match="NOTHING_FAILED"):
        sparkscore.score(spark, deployment, output=tmp_path / "out", only_failed=run.record["run_id"])
    with pytest.raises(sparkscore.SparkscoreError, match="RUN_NOT_FOUND"):
        sparkscore.score(spark, deployment, output=tmp_path / "out", only_failed="never")
