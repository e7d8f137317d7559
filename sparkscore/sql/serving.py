"""Serve SQL functions to the clients of Spark's Thrift server, and record their statements. Runs on the driver."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pyspark.sql import SparkSession

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.spark import jvm_thrift
from sparkscore.spark.errors import SPARK_ERRORS
from sparkscore.spark.row_counts import RowCounter
from sparkscore.spark.shipping import has_other_hosts
from sparkscore.sql.function import SqlFunction
from sparkscore.sql.recording import StatementEnd, Uses, record_statement
from sparkscore.sql.server import STATE, ServerOptions, check_address, check_login, check_sessions, rules_for

logger = logging.getLogger("sparkscore")

_SECONDS_BETWEEN_LOOKS: Final = 0.5
_SECONDS_TO_STOP: Final = 20.0
# The state of a connection in Linux's tables that the other side has closed, and this one has not.
_CLOSE_WAIT: Final = "08"
_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ENDS: Final = {"Finish": "COMPLETE", "Error": "FAIL", "Timeout": "FAIL", "Canceled": "ABORT", "Closed": "ABORT"}


@dataclass
class _Statement:
    text: str
    started_ms: int
    is_parsed: bool = False


@dataclass
class StatementLog:
    """Writes a line into the records of queries for each statement that has ended.

    Attributes:
        runs: the runs folder.
        functions: the functions of the server.
        counter: counts their rows.
    """

    runs: Path
    functions: Sequence[SqlFunction]
    counter: RowCounter | None
    _running: dict[str, _Statement] = field(default_factory=dict)

    def add(self, event: Sequence[str]) -> None:
        """Note what has happened to a statement.

        Args:
            event: the kind of an event of Spark's Thrift server, the id of its statement, and what else it says.
        """
        kind, statement_id, *values = event
        if kind == "Start":
            self._running[statement_id] = _Statement(values[1], int(values[3]))
        elif kind == "Parsed" and (statement := self._running.get(statement_id)):
            statement.is_parsed = True
        elif kind in _ENDS and (statement := self._running.pop(statement_id, None)):
            self._write(statement, kind, values, statement_id)

    def _write(self, statement: _Statement, kind: str, values: Sequence[str], group: str) -> None:
        started = datetime.fromtimestamp(statement.started_ms / 1000, UTC)
        named = set(re.findall(r"\w+", statement.text.lower()))
        used = [each for each in self.functions if named & {name.lower() for name in each.names}]
        # The last value is always the time of the event.
        seconds = max(0, int(values[-1]) - statement.started_ms) / 1000
        end = StatementEnd(_ENDS[kind], seconds, _code(kind, values[0], is_parsed=statement.is_parsed))
        record_statement(self.runs, "sql-server", started, end, Uses(used, self.counter, group))
        if self.counter is not None:
            self.counter.forget(group)


def _code(kind: str, reason: str, *, is_parsed: bool) -> str | None:
    if kind == "Timeout":
        return ErrorCode.SQL_TIMEOUT
    if kind != "Error":
        return None
    if f"[{ErrorCode.SQL_REFUSED}]" in reason:
        return ErrorCode.SQL_REFUSED
    return ErrorCode.SPARK_JOB if is_parsed else ErrorCode.SQL_STATEMENT


def gone_clients(table: str, port: int) -> set[int]:
    """Return the ports of the clients that have closed their side of a connection to the server.

    Args:
        table: the text of ``/proc/net/tcp`` or ``/proc/net/tcp6``.
        port: the port of the server.
    """
    found = set()
    for line in table.splitlines()[1:]:
        local, remote, state = line.split()[1:4]
        if state == _CLOSE_WAIT and int(local.rpartition(":")[2], 16) == port:
            found.add(int(remote.rpartition(":")[2], 16))
    return found


class Watch:
    """Looks after the server in a thread of its own: records statements, and cancels those of clients that are gone."""

    def __init__(self, server: jvm_thrift.ThriftServer, log: StatementLog) -> None:
        self._server, self._log = server, log
        self._port = server.address[1]
        self._stop = threading.Event()
        #: Set when the server has ended, also by itself.
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sparkscore-sql-server", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        if not _TABLES[0].exists():
            logger.warning("statements of clients that are killed end by --timeout only: this is not Linux")
        self._thread.start()

    def stop(self) -> None:
        """Stop the server, record the statements that this ends, and wait for both, but not for long."""
        self._stop.set()
        self._thread.join(_SECONDS_TO_STOP)

    def _run(self) -> None:
        try:
            while not self._stop.wait(_SECONDS_BETWEEN_LOOKS):
                self._look()
            self._server.stop()
            self._look()
        except SPARK_ERRORS as error:
            # After Ctrl-C, the JVM may end first.
            if not self._stop.is_set():
                logger.warning("the SQL server has ended: %s", type(error).__name__)
        finally:
            self.ended.set()

    def _look(self) -> None:
        for event in self._server.events():
            self._log.add(event)
        for table in _TABLES:
            with suppress(FileNotFoundError):
                for port in gone_clients(table.read_text(encoding="ascii"), self._port):
                    self._server.cancel(port)


@contextmanager
def serving(
    spark: SparkSession,
    functions: Sequence[SqlFunction],
    counter: RowCounter | None,
    options: ServerOptions,
    runs: Path,
) -> Iterator[tuple[Watch, str]]:
    """Serve the functions of a session for the ``with`` block, which gets the watch and the URL of the server.

    Args:
        spark: the session, which has the functions. It was started with `sparkscore.sql.server.server_settings`.
        functions: the functions.
        counter: counts their rows.
        options: the options of the server.
        runs: the runs folder, in which statements are recorded.

    Raises:
        ConfigError: others could reach the server without a login, Spark's workers are on other hosts, or the port is
            taken.
    """
    check_login(options, jvm_thrift.authentication(spark))
    _refuse_cluster(spark)
    names = [name for function in functions for name in function.names]
    jvm_thrift.share_functions(spark, names)
    rules = rules_for(names)
    check_sessions(options, jvm_thrift.guard_new_sessions(spark, rules))
    try:
        server = jvm_thrift.ThriftServer(spark, rules.settings)
    except SPARK_ERRORS as error:
        raise ConfigError(
            code=ErrorCode.SQL_SERVER,
            what=f"the address {options.host}:{options.port}",
            got="an error of Spark's Thrift server, which could not listen there",
            expected="a free port of this machine",
            state=STATE,
            next_step="Choose another --port; --port 0 takes a free one. Spark's log has the reason.",
        ) from error
    try:
        check_address(options, server.address[0])
    except ConfigError:
        server.stop()
        raise
    watch = Watch(server, StatementLog(runs, functions, counter))
    watch.start()
    try:
        yield watch, "jdbc:hive2://{}:{}".format(*server.address)
    finally:
        watch.stop()


def _refuse_cluster(spark: SparkSession) -> None:
    if has_other_hosts(spark):
        raise ConfigError(
            code=ErrorCode.SQL_SERVER,
            what="the SQL server's Spark",
            got="workers on other hosts, to which models are sent for one session only",
            expected="a local master",
            state=STATE,
            next_step="Leave --master out, or write local[N].",
        )
