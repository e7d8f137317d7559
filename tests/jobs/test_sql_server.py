"""`sparkscore sql-server` as a process, asked by beeline. `tests/platforms` asks it with other clients, and more."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sparkscore.error_codes import ErrorCode
from sparkscore.record.queries import list_queries
from tests.support.sql_server import beeline, url_of

PROGRAM = str(Path(sys.executable).with_name("sparkscore"))
SCRIPT = """
def run(frame):
    if (frame["age"] < 0).any():
        raise ValueError("age is negative")
    return [0.01 * age + 0.02 * bmi for age, bmi in zip(frame["age"], frame["bmi"])]
"""
ALLOWED = (
    "SELECT p.risk, p.error FROM (SELECT heart_model(age) AS p FROM patients)",
    "SELECT heart_model_describe() LIKE 'Function: %heart_model%'",
    "SET spark.sql.session.timeZone=Asia/Tokyo",
    "SELECT current_timezone()",
    "SELECT '${env:HOME}'",
)
REFUSED = (
    "DROP TEMPORARY FUNCTION heart_model",
    "ADD JAR '/etc/hostname'",
    "SELECT * FROM text.`/etc/hostname`",
    "SELECT * FROM patients WITH (path = '/etc')",
    "SELECT reflect('java.lang.System', 'exit', 1)",
    "CREATE TABLE mine AS SELECT 1",
    "SET spark.sql.variable.substitute=true",
)


def test_clients_query_functions_and_cannot_do_more(
    start: Callable[..., subprocess.Popen[str]], make_deployment: Callable[..., Path], tmp_path: Path
) -> None:
    bmi = {"arguments": {"bmi": {"default": 25.0}}}
    sections = {"input": {"schema": "age double, bmi double"}, "output": {"schema": "risk double"}, "sql": bmi}
    deployment = make_deployment(SCRIPT, "heart-model", **sections)
    tables = tmp_path / "tables.sql"
    tables.write_text(
        "CREATE TABLE patients (age DOUBLE) USING csv LOCATION 'patients';\nINSERT INTO patients VALUES (60), (-3);"
    )
    options = ("--tables", tables, "--port", 0, "--trust-clients", "--master", "local[2]", "--runs", "runs")
    server = start(PROGRAM, "sql-server", deployment, *options)
    url = url_of(server)

    asked = beeline(url, [*ALLOWED, *REFUSED, "SELECT heart_model(60).risk"])
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=60)

    first, second, *others = asked.stdout.splitlines()
    assert {first, second} == {"1.1,NULL", "NULL,ValueError: age is negative"}
    assert others == ["true", "spark.sql.session.timeZone,Asia/Tokyo", "Asia/Tokyo", "${env:HOME}", "1.1"]
    errors = [line for line in asked.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == len(REFUSED), asked.stderr
    assert all("[SQL_REFUSED] the statement: got " in error for error in errors)
    assert (server.returncode, out) == (0, ""), err
    assert "the server has stopped" in err
    records = list_queries(tmp_path / "runs")
    assert {record.by for record in records} == {"sql-server"}
    assert sum(record.error == ErrorCode.SQL_REFUSED for record in records) == len(REFUSED)
    counted = [use for record in records for use in record.functions if use.rows]
    assert [(use.name, use.rows, use.failed) for use in counted] == [("heart_model", 1, 0), ("heart_model", 2, 1)]
    assert ends(server.pid)


def ends(group: int) -> bool:
    """Wait until no process of a group runs any more: Java ends a moment after Python."""
    for _ in range(300):
        if not any(is_running_in(group, process) for process in Path("/proc").glob("[0-9]*")):
            return True
        time.sleep(0.1)
    return False


def is_running_in(group: int, process: Path) -> bool:
    try:
        state, _, group_of_process, *_ = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    # In a container, nobody may collect what orphans leave: a "zombie" has ended.
    return int(group_of_process) == group and state != "Z"
