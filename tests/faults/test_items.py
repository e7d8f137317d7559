"""Faults of items and of what scores them, with the numbers of the catalogue in docs/reliability.md."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import sparkscore
from tests.support.images import save_sum_of_pixels
from tests.support.ledger import check_ledger, read_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeDeployment = Callable[..., Path]
TOLERANT = {"error_threshold": -1, "retry_settings": {"max_retries": 1, "timeout": 2}}
# Poison: the row with this id does what the test says.
SCRIPT = """
import ctypes, os, signal, sys, time
import pandas as pd

def poison():
    {poison}

def run(frame):
    if (frame["id"] == 77).any():
        poison()
    return (frame["id"] * 2).tolist()
"""


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    pq.write_table(pa.table({"id": range(200)}), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


@pytest.mark.parametrize("output_format", ["delta", "parquet"])
def test_7_poison_rows_in_100_000_stand_alone_and_the_rest_is_scored(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, output_format: str
) -> None:
    poison = {0, 1, 4_999, 50_000, 50_001, 77_777, 99_999}
    pq.write_table(pa.table({"id": range(100_000)}), tmp_path / "rows.parquet")
    deployment = make_deployment(
        f"def run(frame):\n    bad = frame['id'].isin({sorted(poison)})\n"
        "    if bad.any():\n        raise ValueError('a bad row')\n    return (frame['id'] * 2).tolist()",
        settings={"error_threshold": 7, "retry_settings": {"max_retries": 0}, "mini_batch_size": 1000},
    )

    run = sparkscore.score(
        spark, deployment, input=tmp_path / "rows.parquet", output=tmp_path / "out", output_format=output_format
    )

    check_ledger(run.record, tmp_path / "runs", range(100_000))
    counts = run.record["counts"]
    assert (counts["scored"], counts["failed"], counts["mini_batches"]) == (99_993, 7, 100)
    # 2 k ceil(log2 b) more calls at most.
    assert 100 < counts["attempts"] <= 100 + 2 * 7 * 10
    quarantine = read_table(tmp_path / "out_quarantine").to_pylist()
    assert {row["error_code"] for row in quarantine} == {"SCRIPT_RUN"}
    assert all("score.py" in row["traceback"] and row["message"] == "a bad row" for row in quarantine)
    assert {row["source_file"] for row in quarantine} == {str(tmp_path / "rows.parquet")}


def test_one_poison_row_more_than_is_tolerated_publishes_nothing(
    spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment
) -> None:
    deployment = make_deployment(
        "def run(frame):\n    assert not frame['id'].isin([3, 77, 150]).any()\n    return [1] * len(frame)",
        settings={"error_threshold": 2, "mini_batch_size": 50},
    )

    with pytest.raises(sparkscore.SparkscoreError, match="ERROR_THRESHOLD") as caught:
        sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    assert "3 failed items, 'settings.error_threshold' allows 2" in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out_quarantine").exists()


ENDS = {
    7: ("os.kill(os.getpid(), signal.SIGKILL)", "PROCESS_ENDED"),
    9: ("ctypes.string_at(0)", "PROCESS_ENDED"),
    10: ("os._exit(7)", "PROCESS_ENDED"),
    12: ("time.sleep(600)", "MINI_BATCH_TIMEOUT"),
    13: ("ctypes.PyDLL(None).sleep(600)", "MINI_BATCH_TIMEOUT"),
    14: ("ctypes.CDLL(None).sleep(600)", "MINI_BATCH_TIMEOUT"),
}


@pytest.mark.parametrize(
    "number", [number if number in {7, 13} else pytest.param(number, marks=pytest.mark.faults) for number in ENDS]
)
def test_what_ends_the_process_or_hangs_costs_its_mini_batch_alone(
    number: int, spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment
) -> None:
    poison, code = ENDS[number]
    settings = TOLERANT | {"mini_batch_size": 20}
    deployment = make_deployment(SCRIPT.format(poison=poison), settings=settings, output={"format": "parquet"})
    start = time.monotonic()

    run = sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    check_ledger(run.record, tmp_path / "runs", range(200))
    assert run.record["counts"]["failed"] == 20
    quarantine = read_table(tmp_path / "out_quarantine").to_pylist()
    assert {(row["error_code"], row["tries"]) for row in quarantine} == {(code, 2)}
    # Two processes ended, and each was followed by another.
    assert run.record["model_loads"] == run.record["worker_processes"] + 2
    assert time.monotonic() - start < 60
    if number != 10:  # os._exit ends without a word
        assert all("score.py" in row["traceback"] for row in quarantine) or number == 7


@pytest.mark.faults
@pytest.mark.parametrize(
    "poison", ["sys.exit(3)", "raise KeyboardInterrupt", "raise ValueError('x' * 10_000)", "raise MemoryError"]
)
def test_10_whatever_python_raises_costs_the_row_alone(
    poison: str, spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment
) -> None:
    deployment = make_deployment(SCRIPT.format(poison=poison), settings=TOLERANT | {"mini_batch_size": 20})

    run = sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    check_ledger(run.record, tmp_path / "runs", range(200))
    (row,) = read_table(tmp_path / "out_quarantine").to_pylist()
    assert (row["row"], row["position"], row["tries"]) == ('{"id": 77}', 17, 2)
    assert len(row["message"]) <= 2000


def test_a_failure_that_goes_away_is_tried_again_and_forgotten(
    spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment
) -> None:
    flag = str(tmp_path / "once")
    once = f"""os.path.exists({flag!r}) or (open({flag!r}, "w").close(), os._exit(1))"""
    settings = {"mini_batch_size": 20, "retry_settings": {"max_retries": 1}}
    deployment = make_deployment(SCRIPT.format(poison=once), settings=settings, output={"format": "parquet"})

    run = sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    check_ledger(run.record, tmp_path / "runs", range(200))
    assert (run.record["counts"]["failed"], run.record["counts"]["attempts"]) == (0, 11)
    assert run.record["model_loads"] == run.record["worker_processes"] + 1


def test_a_clean_run_has_no_retries_no_new_processes_no_warnings(
    spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment, caplog: pytest.LogCaptureFixture
) -> None:
    deployment = make_deployment(SCRIPT.format(poison="pass"), settings={"mini_batch_size": 20})

    run = sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    check_ledger(run.record, tmp_path / "runs", range(200))
    assert (run.record["counts"]["attempts"], run.record["counts"]["failed"]) == (10, 0)
    assert run.record["model_loads"] == run.record["worker_processes"]
    assert run.record["warnings"] == []
    assert [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []


INITS = {15: ("raise OSError('no weights')", "SCRIPT_INIT"), 16: ("os._exit(1)", "LOAD_PROCESS_ENDED")}


@pytest.mark.faults
@pytest.mark.parametrize("number", INITS)
def test_an_init_that_fails_ends_the_run_early_whatever_is_tolerated(
    number: int, spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment
) -> None:
    init, code = INITS[number]
    script = f"import os\ndef init():\n    {init}\ndef run(frame): return [1] * len(frame)"
    deployment = make_deployment(script, settings=TOLERANT | {"mini_batch_size": 20})

    with pytest.raises(sparkscore.SparkscoreError) as caught:
        sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    assert caught.value.code == code
    assert caught.value.record is not None
    assert caught.value.record["counts"]["attempts"] == 0
    assert not (tmp_path / "out").exists()


def test_29_files_that_a_script_left_out_are_counted_and_quarantined_without_a_name(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    (tmp_path / "files").mkdir()
    for number in range(10):
        (tmp_path / "files" / f"{number}.txt").write_text("x")
    deployment = make_deployment(
        "def run(files): return [1] * (len(files) - 1)",
        settings={"error_threshold": 2, "mini_batch_size": 5},
        output={"format": "parquet"},
    )

    run = sparkscore.score(spark, deployment, input=tmp_path / "files", input_format="files", output=tmp_path / "out")

    assert (run.record["counts"]["scored"], run.record["counts"]["failed"]) == (8, 2)
    quarantine = read_table(tmp_path / "out_quarantine").to_pylist()
    assert [(row["source_file"], row["error_code"]) for row in quarantine] == [(None, "OUTPUT_ROWS")] * 2


def test_55_a_corrupt_image_is_quarantined_and_the_others_are_scored(spark: SparkSession, tmp_path: Path) -> None:
    save_sum_of_pixels(tmp_path / "model.onnx")
    (tmp_path / "photos").mkdir()
    for number in range(12):
        Image.new("RGB", (6, 4), (number, 0, 0)).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "photos" / "0.png").write_bytes(b"\x89PNG and no more")

    run = sparkscore.score(
        spark,
        None,
        model=tmp_path / "model.onnx",
        input=tmp_path / "photos",
        output=tmp_path / "out",
        output_format="parquet",
        settings={"settings.error_threshold": 1},
    )

    check_ledger(run.record, tmp_path / "runs", [str(path) for path in (tmp_path / "photos").iterdir()], key=None)
    assert run.record["counts"]["failed"] == 1


@pytest.mark.faults
@pytest.mark.parametrize("output_format", ["delta", "parquet"])
def test_two_runs_append_to_one_quarantine(
    spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment, output_format: str
) -> None:
    deployment = make_deployment(SCRIPT.format(poison="raise ValueError"), settings=TOLERANT)
    options: dict[str, Any] = {"input": rows, "output": tmp_path / "out", "mode": "append"}
    options["output_format"] = output_format

    runs = [sparkscore.score(spark, deployment, **options) for _ in range(2)]

    for run in runs:
        check_ledger(run.record, tmp_path / "runs", range(200))
    assert read_table(tmp_path / "out_quarantine").num_rows == 2
