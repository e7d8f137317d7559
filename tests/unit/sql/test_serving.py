from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from py4j.protocol import Py4JNetworkError

from sparkscore.record.queries import FunctionUse, list_queries
from sparkscore.sql import serving
from sparkscore.sql.serving import StatementLog, Watch, gone_clients

TABLE = Path("/proc/net/tcp")
Make = Callable[..., Any]
# What Spark says about a statement: the kind of event, the id, and more.
START = ("Start", "id", "session", "SELECT heart(1)", "id", "1000", "ann")


class Server:
    """Answers as the JVM would: with events, and then with an error if it has ended."""

    def __init__(self, events: list[Any], error: Exception | None = None) -> None:
        self.address = ("127.0.0.1", 1)
        self.seen: list[Any] = []
        self._events, self._error = events, error

    def events(self) -> list[Any]:
        if self._error and not self._events:
            raise self._error
        taken, self._events = self._events, []
        return taken

    def cancel(self, port: int) -> int:
        self.seen.append(port)
        return 1

    def stop(self) -> None:
        self.seen.append("stopped")


@pytest.fixture
def log(make: Make, tmp_path: Path) -> StatementLog:
    counter: Any = SimpleNamespace(counts=lambda *_: (7, 1), forget=lambda _: None)
    return StatementLog(tmp_path, [make("heart"), make("other", name="second")], counter)


@pytest.mark.parametrize(
    ("events", "state", "error"),
    [
        ([("Parsed", "id", "plan"), ("Finish", "id", "3500"), ("Closed", "id", "2")], "COMPLETE", None),
        ([("Error", "id", "[SQL_REFUSED] the statement", "trace", "3500")], "FAIL", "SQL_REFUSED"),
        ([("Error", "id", "[PARSE_SYNTAX_ERROR] secret", "trace", "3500")], "FAIL", "SQL_STATEMENT"),
        ([("Parsed", "id", "plan"), ("Error", "id", "secret", "trace", "3500")], "FAIL", "SPARK_JOB"),
        ([("Timeout", "id", "3500"), ("Canceled", "id", "9999")], "FAIL", "SQL_TIMEOUT"),
        ([("Canceled", "id", "3500"), ("Closed", "id", "9999")], "ABORT", None),
        ([("Closed", "id", "3500")], "ABORT", None),
    ],
)
def test_a_statement_is_recorded_once_with_the_functions_that_it_names(
    log: StatementLog, tmp_path: Path, events: list[Any], state: str, error: str | None
) -> None:
    for event in [START, *events]:
        log.add(event)

    (record,) = list_queries(tmp_path)
    assert (record.by, record.state, record.error) == ("sql-server", state, error)
    assert (record.started_at, record.seconds) == ("1970-01-01T00:00:01.000Z", 2.5)
    assert record.functions == (FunctionUse("heart", rows=7, failed=1),)
    assert "secret" not in (tmp_path / "queries.jsonl").read_text()


def test_events_of_unknown_statements_are_left_out(log: StatementLog, tmp_path: Path) -> None:
    for event in [("Parsed", "unknown", "plan"), ("Finish", "unknown", "1")]:
        log.add(event)

    assert list_queries(tmp_path) == []


@pytest.mark.skipif(not TABLE.exists(), reason="only Linux tells the states of connections in files")
def test_a_client_that_has_closed_its_side_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        sides = [server.accept()[0] for _ in clients]
        gone = clients[0].getsockname()[1]
        before = gone_clients(TABLE.read_text(), port)
        clients[0].close()

        after = gone_clients(TABLE.read_text(), port)

        assert (before, after) == (set(), {gone})
        assert gone_clients(TABLE.read_text(), port + 1) == set()
        for each in [clients[1], *sides]:
            each.close()


def test_the_watch_records_cancels_and_stops(
    log: StatementLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_SECONDS_BETWEEN_LOOKS", 0.01)
    table = tmp_path / "tcp"
    table.write_text("head\n 0: 0100007F:0001 0100007F:D431 08 rest\n 1: 0100007F:0001 0100007F:D432 01 rest\n")
    monkeypatch.setattr(serving, "_TABLES", (table, tmp_path / "missing"))
    server: Any = Server([START, ("Finish", "id", "3500")])
    watch = Watch(server, log)

    watch.start()
    watch.stop()

    assert watch.ended.is_set()
    assert server.seen[-2:] == ["stopped", 0xD431]
    assert [record.state for record in list_queries(tmp_path)] == ["COMPLETE"]


def test_the_watch_ends_with_the_jvm(
    log: StatementLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "_SECONDS_BETWEEN_LOOKS", 0.01)
    server: Any = Server([], Py4JNetworkError("gone"))
    watch = Watch(server, log)

    watch.start()

    assert watch.ended.wait(10)
    assert "the SQL server has ended" in caplog.text
