"""Everything that goes wrong before or while scoring: one clear message, nothing written, a record that says so."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

import sparkscore
from sparkscore import SparkscoreError
from sparkscore.record.listing import list_records

MakeDeployment = Callable[..., Path]

GOOD = "def run(batch): return [1] * len(batch)"
ROW_TEXT = "patient 4711 has blood group"


@dataclass(frozen=True)
class Case:
    message: str
    script: str = GOOD
    sections: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    is_exit_2: bool = False


BEFORE_SPARK = {
    "unknown key": Case(
        r"\[CONFIG_UNKNOWN_KEY\].*mini_batchsize.*mini_batch_size", sections={"settings": {"mini_batchsize": 3}}
    ),
    "wrong value": Case(r"\[CONFIG_VALUE\].*error_threshold", sections={"settings": {"error_threshold": "many"}}),
    "missing model": Case(r"\[MODEL_NOT_FOUND\].*'model\.path'", sections={"model": {"path": "gone.pkl"}}),
    "other model than pinned": Case(
        r"\[MODEL_DIGEST\]", sections={"model": {"path": "code/score.py", "sha256": "0" * 64}}
    ),
    "missing run()": Case(r"\[SCRIPT_NO_RUN\].*'score\.py'.*run\(mini_batch\)", script="def init(): pass"),
    "syntax error": Case(r"\[SCRIPT_SYNTAX\].*'score\.py', line 2", script="x = 1\ndef run(:"),
    "online script": Case(
        r"\[SCRIPT_ONLINE\].*online endpoint.*JSON", script="import json\ndef run(data): return json.loads(data)"
    ),
    "missing script": Case(r"\[SCRIPT_NOT_FOUND\]", settings={"code_configuration.scoring_script": "other.py"}),
}

WITH_SPARK = {
    "script does not import": Case(
        r"\[SCRIPT_IMPORT\].*'score\.py' raised ModuleNotFoundError.*\(score\.py, line 1\).*no_such_package",
        script="import no_such_package\ndef run(batch): return []",
    ),
    "init() raises": Case(
        r"\[SCRIPT_INIT\].*FileNotFoundError in init\(\).*\(score\.py, line 2\).*weights\.bin",
        script="def init():\n    open('weights.bin')\ndef run(batch): return []",
    ),
    "run() raises": Case(
        r"\[SCRIPT_RUN\].*ValueError in run\(\).*\(score\.py, line 2\).*'bad value'",
        script="def run(batch):\n    raise ValueError('bad value')",
    ),
    "run() raises later": Case(
        r"\[SCRIPT_RUN\].*ZeroDivisionError in run\(\) for mini-batch '0-2'.*Nothing was published",
        script="def run(batch): return [1 // (key - 25) for key in batch['id']]",
        settings={"settings.mini_batch_size": 10},
    ),
    "run() exits": Case(r"\[SCRIPT_RUN\].*SystemExit", script="import sys\ndef run(batch): sys.exit(0)"),
    "run() returns too few": Case(r"\[OUTPUT_ROWS\].*29 elements for 30 rows", script="def run(b): return [1] * 29"),
    "run() returns no list": Case(r"\[OUTPUT_KIND\]", script="def run(batch): return 'fine'"),
    "run() returns None only": Case(
        r"\[OUTPUT_ALL_NULL\].*output\.schema", script="def run(b): return [None] * len(b)"
    ),
    "run() returns other types later": Case(
        r"\[OUTPUT_TYPE\].*'prediction'.*got float, expected bigint \(mini-batch '0-2'\)",
        script="def run(b): return [key if key < 20 else 0.5 for key in b['id']]",
        settings={"settings.mini_batch_size": 10},
    ),
    "declared type is wrong": Case(r"\[OUTPUT_TYPE\].*'risk'", settings={"output.schema": "risk string"}),
    "column does not exist": Case(r"\[INPUT_COLUMNS\].*'weight'.*'id', 'name'", settings={"input.columns": ["weight"]}),
    "carried column does not exist": Case(r"\[CARRY_COLUMNS\].*'weight'", settings={"output.carry": ["weight"]}),
    "partition column does not exist": Case(r"\[PARTITION_COLUMNS\].*'year'", settings={"output.partition_by": "year"}),
    "empty partition value": Case(
        r"\[OUTPUT_PARTITION_VALUE\].*'label'",
        script="def run(b): return [{'label': ''}] * len(b)",
        settings={"output.partition_by": "label"},
    ),
    "name clash": Case(
        r"\[COLUMN_CLASH\].*'Name'.*columns: \{Name: sparkscore_Name\}",
        script="def run(b): return [{'Name': 'x'}] * len(b)",
        is_exit_2=True,
    ),
    "files cut by bytes": Case(
        r"\[MINI_BATCH_SIZE\]", settings={"input.format": "files", "settings.mini_batch_size": "1MB"}, is_exit_2=True
    ),
}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    table = pa.table({"id": range(30), "name": [f"{ROW_TEXT} {number}" for number in range(30)]})
    pq.write_table(table, tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


def error_of(spark: SparkSession, deployment: Path, **options: Any) -> SparkscoreError:
    with pytest.raises(SparkscoreError) as caught:
        sparkscore.score(spark, deployment, **options)
    return caught.value


@pytest.mark.parametrize("case", BEFORE_SPARK.values(), ids=BEFORE_SPARK)
def test_wrong_requests_are_refused_before_spark_is_asked(
    tmp_path: Path, make_deployment: MakeDeployment, rows: Path, case: Case
) -> None:
    from sparkscore.run.prepare import prepare  # noqa: PLC0415

    deployment = make_deployment(case.script, **case.sections)

    with pytest.raises(SparkscoreError, match=case.message) as caught:
        prepare(deployment, input=rows, output=tmp_path / "out", settings=case.settings)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("case", WITH_SPARK.values(), ids=WITH_SPARK)
def test_what_goes_wrong_while_scoring_publishes_nothing(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, rows: Path, case: Case
) -> None:
    deployment = make_deployment(case.script, **case.sections)

    error = error_of(spark, deployment, input=rows, output=tmp_path / "out", settings=case.settings)

    assert re.search(case.message, str(error)), str(error)
    assert "\n" not in str(error), "a message is one line; stacks are for the log"
    assert ROW_TEXT not in str(error)
    assert not (tmp_path / "out").exists()
    (listed,) = list_records(tmp_path / "runs")
    record = listed.as_dict()
    assert record == error.record
    assert (record["state"], record["error"]["code"]) == ("FAIL", error.code)
    assert record["ended_at"] is not None
    assert Path(record["script"]["path"]).name == "score.py"
    assert set(record["input"]) >= {"format", "location", "version", "items", "bytes"}
    assert set(record["output"]) >= {"format", "location", "mode", "version", "rows"}
    if case.is_exit_2:
        assert error.exit_code == 2


def test_the_users_traceback_is_in_the_log(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, rows: Path
) -> None:
    theirs = MemoryHandler(capacity=1000, flushLevel=100)
    deployment = make_deployment("def deep(x):\n    return x['no']\ndef run(batch):\n    return deep({})")

    logging.getLogger().addHandler(theirs)
    try:
        error = error_of(spark, deployment, input=rows, output=tmp_path / "out", run_id="broken")
    finally:
        logging.getLogger().removeHandler(theirs)

    assert not [record for record in theirs.buffer if record.exc_info], "tracebacks are for the run's log alone"
    log = (tmp_path / "runs" / "broken" / "run.log").read_text()
    assert "in deep" in log
    assert "KeyError: 'no'" in log
    assert "(score.py, line 2)" in str(error)


def test_long_and_secret_texts_of_the_user_are_cut_and_masked(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, rows: Path
) -> None:
    deployment = make_deployment(
        "def run(batch): raise OSError('https://store/x?sig=abcdef0123456789abcdef0123456789%3D ' + 'long ' * 500)"
    )

    error = error_of(spark, deployment, input=rows, output=tmp_path / "out")

    assert "abcdef0123456789" not in str(error)
    assert len(str(error)) < 600


@pytest.mark.parametrize("content", [b"", b"PAR1 no Parquet PAR1"], ids=["empty", "corrupt"])
def test_an_unreadable_input_is_named(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, content: bytes
) -> None:
    (tmp_path / "in.parquet").write_bytes(content)

    error = error_of(spark, make_deployment(GOOD), input=tmp_path / "in.parquet", output=tmp_path / "out")

    assert error.code == ("INPUT_UNREADABLE" if content else "INPUT_EMPTY")
    assert "in.parquet" in str(error)
    assert "java" not in str(error)
    assert not (tmp_path / "out").exists()


def test_a_row_that_cannot_be_parsed_is_not_shown(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    (tmp_path / "in.csv").write_text(f"id,x\n1,2\n{ROW_TEXT},3\n")

    error = error_of(
        spark,
        make_deployment(GOOD),
        input=tmp_path / "in.csv",
        output=tmp_path / "out",
        settings={"input.schema": "id bigint, x bigint"},
    )

    assert error.code == "INPUT_VALUE"
    assert "column 'id' of input file" in str(error)
    assert ROW_TEXT not in str(error)


def test_no_rows_are_nothing_to_score(spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment) -> None:
    (tmp_path / "in.csv").write_text("id,x\n")

    error = error_of(spark, make_deployment(GOOD), input=tmp_path / "in.csv", output=tmp_path / "out")

    assert (error.code, error.exit_code) == ("INPUT_EMPTY", 2)
    assert not (tmp_path / "out").exists()


def test_an_output_that_exists_is_left_alone(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, rows: Path
) -> None:
    deployment = make_deployment(GOOD)
    sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")
    before = sorted(str(path) for path in (tmp_path / "out").rglob("*"))

    error = error_of(spark, deployment, input=rows, output=tmp_path / "out")

    assert (error.code, error.exit_code) == ("OUTPUT_EXISTS", 2)
    assert "--mode append" in str(error)
    assert sorted(str(path) for path in (tmp_path / "out").rglob("*")) == before


def test_a_run_that_fails_leaves_an_existing_table_alone(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, rows: Path
) -> None:
    options: dict[str, Any] = {"input": rows, "output": tmp_path / "out", "output_format": "parquet"}
    sparkscore.score(spark, make_deployment(GOOD, "good"), **options)
    bad = make_deployment("def run(b): return [1 // (25 - key) for key in b['id']]", "bad")

    error = error_of(spark, bad, **options, mode="overwrite", settings={"settings.mini_batch_size": 10})

    assert error.code == "SCRIPT_RUN"
    assert pq.read_table(tmp_path / "out").num_rows == 30
    assert not (tmp_path / "out" / "_sparkscore").exists()


def test_an_input_that_changes_under_the_run_is_not_published(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.txt").write_text("text")
    deployment = make_deployment(
        """
        from pathlib import Path

        def run(mini_batch):
            Path(mini_batch[0]).write_text("changed by somebody")
            return [1] * len(mini_batch)
        """
    )

    error = error_of(spark, deployment, input=tmp_path / "in", output=tmp_path / "out")

    assert error.code == "INPUT_CHANGED"
    assert not (tmp_path / "out").exists()


def test_a_worker_process_that_dies_is_said_so(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, rows: Path
) -> None:
    deployment = make_deployment("import os\ndef run(batch): os._exit(3)", isolation="none")

    error = error_of(spark, deployment, input=rows, output=tmp_path / "out")

    assert error.code == "WORKER_DIED"
    assert "'isolation: process'" in error.next_step
    assert not (tmp_path / "out").exists()


def test_a_setting_that_is_not_applied_is_said_so(
    spark: SparkSession,
    tmp_path: Path,
    make_deployment: MakeDeployment,
    rows: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    deployment = make_deployment(GOOD, settings={"max_concurrency_per_instance": 2})

    sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out", output_format="parquet")

    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "settings that are recorded, but not applied yet: settings.max_concurrency_per_instance=2" in warnings


@pytest.mark.parametrize("inside", ["output in input", "input in output"])
def test_input_and_output_may_not_lie_in_each_other(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, inside: str
) -> None:
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "1.txt").write_text("text")
    places = {"input": folder, "output": folder / "out"}
    if inside == "input in output":
        places = {"input": folder / "deep", "output": folder}

    error = error_of(spark, make_deployment(GOOD), **places, mode="overwrite")

    assert (error.code, error.exit_code) == ("INPUT_OUTPUT_OVERLAP", 2)
    assert (folder / "deep" / "1.txt").read_text() == "text"
