"""`sparkscore sql-server` without Spark: what it refuses, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sparkscore.cli import run_command_line
from sparkscore.cli.interrupts import InterruptedRunError

SCRIPT = "def run(frame): return [1.0] * len(frame)"
DECLARED = {"input": {"schema": "age double"}, "output": {"schema": "risk double"}}
SIGTERM = 15


@pytest.fixture
def heart(make_deployment: Callable[..., Path]) -> str:
    return str(make_deployment(SCRIPT, "heart-model", **DECLARED))


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Replace Spark and the server, and note what they are asked for. ``wait`` is called while the server runs."""
    served: dict[str, Any] = {"statements": [], "functions": [], "wait": lambda: None, "start": lambda: None}

    @contextmanager
    def session(options: Any, *_: object) -> Iterator[str]:
        served["conf"] = dict(pair.split("=", 1) for pair in options.spark_conf)
        served["start"]()
        yield "session"

    @contextmanager
    def serving(*_: object) -> Iterator[tuple[Any, str]]:
        yield SimpleNamespace(ended=SimpleNamespace(wait=served["wait"])), "jdbc:hive2://127.0.0.1:1"
        served["closed"] = True

    monkeypatch.setattr("sparkscore.cli.run_command.spark_session", session)
    monkeypatch.setattr("sparkscore.sql.serving.serving", serving)
    monkeypatch.setattr("sparkscore.sql.query.run_statement", lambda _, text: served["statements"].append(text))
    monkeypatch.setattr(
        "sparkscore.sql.register.register", lambda _, function, __: served["functions"].append(function.name)
    )
    monkeypatch.setattr("sparkscore.spark.row_counts.counter_of", lambda _: None)
    return served


def interrupt() -> None:
    raise InterruptedRunError(SIGTERM)


def test_a_signal_ends_the_server_well(
    heart: str, served: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served["wait"] = interrupt
    (tmp_path / "tables.sql").write_text("CREATE TABLE a (x INT);\n-- the end\nSELECT ';';")

    code = run_command_line(
        ["sql-server", heart, "--trust-clients", "--port", "7", "--tables", f"{tmp_path}/tables.sql"]
    )

    out, err = capsys.readouterr()
    assert (code, out) == (0, "jdbc:hive2://127.0.0.1:1\n")
    assert "the server has stopped" in err
    assert served["statements"] == ["CREATE TABLE a (x INT)", "-- the end\nSELECT ';'"]
    assert served["functions"] == ["heart_model"]
    assert served["conf"]["spark.hadoop.hive.server2.thrift.port"] == "7"
    assert not Path(served["conf"]["spark.scheduler.allocation.file"].removeprefix("file://")).exists()


def test_a_signal_before_the_server_listens_is_an_interrupt(heart: str, served: dict[str, Any]) -> None:
    served["start"] = interrupt

    assert run_command_line(["sql-server", heart, "--trust-clients"]) == 128 + SIGTERM


def test_a_server_that_ends_by_itself_has_failed(heart: str, served: dict[str, Any]) -> None:
    ended = threading.Event()
    ended.set()
    served["wait"] = ended.wait

    assert run_command_line(["sql-server", heart, "--trust-clients"]) == 1
    assert served["closed"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "add --trust-clients"),
        (["--trust-clients", "--host", "localhost"], "an IP address"),
        (["--trust-clients", "--spark-conf", "spark.sql.runSQLOnFiles=true"], "a setting that the server needs"),
        (["--trust-clients", "--tables", "missing.sql"], "SQL_STATEMENT"),
        (["--trust-clients", "--tables", "missing.txt"], "SQL_STATEMENT"),
    ],
)
def test_wrong_requests_start_no_spark(
    heart: str, served: dict[str, Any], options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["sql-server", heart, *options]) == 2

    assert message in capsys.readouterr().err
    assert "conf" not in served
