"""`sparkscore sql` without Spark: what it refuses, and how it ends."""

from __future__ import annotations

import io
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from sparkscore.cli import sql_command
from sparkscore.cli.interrupts import InterruptedRunError
from sparkscore.cli.streams import CarefulStream
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ScoringError
from sparkscore.record.queries import list_queries
from sparkscore.sql.query import Answer

SCRIPT = "def run(frame): return [1.0] * len(frame)"
DECLARED = {"input": {"schema": "age double"}, "output": {"schema": "risk double"}}
TABLE = pa.table({"id": [1, 2], "risk": [0.5, None]})
Command = Callable[..., Any]


@pytest.fixture
def heart(make_deployment: Callable[..., Path]) -> Path:
    return make_deployment(SCRIPT, "heart-model", **DECLARED)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Replace Spark. What a test puts under ``answer`` is returned, or raised if it is an exception."""
    asked: dict[str, Any] = {"registered": [], "answer": Answer(TABLE)}

    @contextmanager
    def session(*_: object) -> Iterator[str]:
        yield "session"

    def run(_: object, statement: str, **options: object) -> Answer:
        asked.update(statement=statement, **options)
        sys.stdout.write("a library prints\n")
        if isinstance(asked["answer"], BaseException):
            raise asked["answer"] from ValueError("secret value")
        answer: Answer = asked["answer"]
        return answer

    monkeypatch.setattr(sql_command, "spark_session", session)
    monkeypatch.setattr("sparkscore.sql.query.run_statement", run)
    monkeypatch.setattr(
        "sparkscore.sql.register.register", lambda _, function, __: asked["registered"].append(function.name)
    )
    monkeypatch.setattr("sparkscore.spark.row_counts.counter_of", lambda _: None)
    return asked


def test_a_result_alone_is_on_stdout(sparkscore: Command, asked: dict[str, Any], heart: Path) -> None:
    answer = sparkscore("sql", "SELECT 1", heart, "--format", "csv")

    assert (answer.exit_code, answer.out) == (0, "id,risk\n1,0.5\n2,\n")
    assert answer.err == "a library prints\n"
    assert asked["registered"] == ["heart_model"]
    assert (asked["statement"], asked["max_rows"], asked["has_unique_names"]) == ("SELECT 1", None, False)


@pytest.mark.parametrize("before", [["sql"], ["sql", "query"], ["sql", "--format", "json"]])
def test_the_word_query_may_be_left_out(sparkscore: Command, asked: dict[str, Any], before: list[str]) -> None:
    after = [] if "json" in before else ["--format", "json"]

    answer = sparkscore(*before, "SELECT 1", *after)

    assert answer.out == '{"id":1,"risk":0.5}\n{"id":2,"risk":null}\n'
    assert asked["has_unique_names"]


@pytest.mark.usefixtures("asked")
def test_a_table_is_the_default(sparkscore: Command) -> None:
    lines = sparkscore("sql", "SELECT 1").out.splitlines()

    assert lines == ["+--+----+", "|id|risk|", "+--+----+", "| 1| 0.5|", "| 2|NULL|", "+--+----+"]


def test_a_result_that_is_cut_says_so(sparkscore: Command, asked: dict[str, Any]) -> None:
    asked["answer"] = Answer(TABLE, is_cut=True)

    answer = sparkscore("sql", "SELECT 1", "--max-rows", "2")

    assert asked["max_rows"] == 2
    assert "warning only the first 2 rows are printed; there are more\n" in answer.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sql"], "Missing command"),
        (["sql", "SELECT 1", "--format", "xml"], "'table', 'csv', 'json'"),
        (["sql", "SELECT 1", "--max-rows", "0"], "--max-rows"),
        (["sql", "SELECT 1", "none.yml"], "none.yml"),
        (["sql", "SELECT 1", "--spark-conf", "x"], "SPARK_CONF"),
        (["sql", "none.sql"], "SQL_STATEMENT"),
        (["sql", "describe"], "DEPLOYMENT.yml"),
    ],
)
def test_a_wrong_request_is_refused_before_spark_starts(
    sparkscore: Command, arguments: list[str], told: str, tmp_path: Path
) -> None:
    answer = sparkscore(*arguments)

    assert (answer.exit_code, answer.out) == (2, "")
    assert told in answer.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("asked")
def test_a_statement_is_recorded(sparkscore: Command, heart: Path, tmp_path: Path) -> None:
    sparkscore("sql", "SELECT 1", heart, "--runs", tmp_path / "runs")

    (record,) = list_queries(tmp_path / "runs")
    assert (record.by, record.state, record.rows) == ("shell", "COMPLETE", 2)
    assert [use.name for use in record.functions] == ["heart_model"]


@pytest.mark.parametrize("other", ["heart_model", "Heart-Model", "heart-model-struct"])
def test_two_functions_of_one_name_are_refused(
    sparkscore: Command, heart: Path, make_deployment: Callable[..., Path], other: str
) -> None:
    second = make_deployment(SCRIPT, "second", **DECLARED)
    second.write_text(second.read_text().replace("name: second", f"name: {other}"))

    answer = sparkscore("sql", "SELECT 1", second, heart)

    assert answer.exit_code == 2
    assert "[SQL_NAME_TAKEN] function name 'heart_model" in answer.err
    assert f"got '{second}' and '{heart}'" in answer.err


def test_a_query_that_fails_shows_no_values_and_names_the_log(
    sparkscore: Command, asked: dict[str, Any], tmp_path: Path
) -> None:
    asked["answer"] = ScoringError(code=ErrorCode.SPARK_JOB, what="the query failed", next_step="Look.")

    answer = sparkscore("sql", "SELECT 1", "--runs", tmp_path / "runs")

    assert (answer.exit_code, answer.out) == (1, "")
    assert (
        f"error [SPARK_JOB] the query failed. Nothing was written. Look.\nlog   {tmp_path}/runs/sparkscore.log\n"
        in answer.err
    )
    assert "secret value" not in answer.err
    assert "secret value" in (tmp_path / "runs" / "sparkscore.log").read_text()


def test_an_interrupt_is_told_in_one_line(sparkscore: Command, asked: dict[str, Any]) -> None:
    asked["answer"] = InterruptedRunError(signal.SIGINT)

    answer = sparkscore("sql", "SELECT 1")

    assert answer.exit_code == 130
    assert answer.err.endswith("error interrupted by Ctrl-C.\n")


def test_what_a_cancelled_job_raises_is_the_interrupt(
    sparkscore: Command, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked["answer"] = ConnectionError("the JVM is gone")
    received = InterruptedRunError(signal.SIGTERM)
    interrupts = SimpleNamespace(received=received, behind=lambda _: received)
    monkeypatch.setattr(sql_command, "interruptible", lambda: nullcontext(interrupts))

    assert sparkscore("sql", "SELECT 1").exit_code == 143


def test_a_bug_is_told_as_one(sparkscore: Command, asked: dict[str, Any]) -> None:
    asked["answer"] = ZeroDivisionError("bug")

    answer = sparkscore("sql", "SELECT 1")

    assert answer.exit_code == 1
    assert "sparkscore itself failed with ZeroDivisionError" in answer.err


def test_a_closed_pipe_ends_the_printing(asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked["answer"] = Answer(pa.table({"id": list(range(5000))}))
    stdout = CarefulStream(io.StringIO(), 1)
    written: list[str] = []

    def write(text: str) -> None:
        written.append(text)
        stdout.lost = "Broken pipe" if len(written) == 2 else ""

    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(sql_command, "print_text", write)

    assert sql_command.run_query(sql_command.Query("SELECT 1", shown_as="csv")) == 0
    assert len(written) == 2


def test_functions_are_described_without_spark(
    sparkscore: Command, heart: Path, make_deployment: Callable[..., Path]
) -> None:
    answer = sparkscore("sql", "describe", heart, make_deployment(SCRIPT, "other", **DECLARED))

    assert (answer.exit_code, answer.err) == (0, "")
    assert answer.out.startswith("Function:      heart_model\n")
    assert "\n\nFunction:      other\n" in answer.out


def test_settings_are_for_all_functions(sparkscore: Command, heart: Path) -> None:
    answer = sparkscore("sql", "describe", heart, "--set", "sql.on_error=raise")

    assert "On error:      stops the query\n" in answer.out


def test_the_statement_for_unity_catalog_is_on_stdout(sparkscore: Command, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps([]))
    pairs = ("model.framework=sklearn", "trust=code", "input.schema=x double", "output.schema=risk double")
    settings = [part for pair in pairs for part in ("--set", pair)]

    answer = sparkscore("sql", "unity-catalog", tmp_path / "model.pkl", "--name", "main.models.heart", *settings)

    assert answer.exit_code == 0
    assert answer.out.startswith("-- NOT TRIED")
    assert "CREATE OR REPLACE FUNCTION main.models.heart(\n  `x` DOUBLE)" in answer.out
    assert answer.out.endswith("$$;\n")


def test_a_script_is_refused_for_unity_catalog(sparkscore: Command, heart: Path) -> None:
    answer = sparkscore("sql", "unity-catalog", heart)

    assert (answer.exit_code, answer.out) == (2, "")
    assert "[SQL_UNSUPPORTED]" in answer.err
