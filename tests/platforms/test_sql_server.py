"""The SQL server and other programs' clients, which `make` installs into .venv-sql/: PyHive and impyla."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pyspark
import pytest
from pyspark.sql import SparkSession

from sparkscore.record.queries import list_queries
from tests.support import sql_checks
from tests.support.sql_server import url_of

PROGRAM = str(Path(sys.executable).with_name("sparkscore"))
PYTHON = Path(__file__).parents[2] / ".venv-sql" / "bin" / "python"
CLIENT = Path(__file__).parents[1] / "support" / "sql_client.py"
DRIVERS = ("pyhive", "impyla")
# A row of age 1000 or more takes a second.
SCRIPT = """
import os, time

def run(frame):
    for age in frame["age"]:
        if age >= 1000:
            time.sleep(1)
            with open(os.environ["MARKS"], "a") as marks:
                marks.write("x")
    if (frame["age"] < 0).any():
        raise ValueError("age is negative")
    return [0.01 * age for age in frame["age"]]
"""
DDL = sql_checks.FIRST if pyspark.__version__ < "4.1" else sql_checks.LATER
SLOW = "SELECT sum(heart(1000 + id).risk) FROM range(0, 60, 1, 2)"
pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="the clients are not installed: 'make test-platforms'")


@dataclass
class Served:
    """A server, and what its slow function marks."""

    process: subprocess.Popen[str]
    port: int
    folder: Path

    @property
    def marks(self) -> Path:
        return self.folder / "marks"

    def count(self) -> int:
        return self.marks.stat().st_size if self.marks.exists() else 0

    def client(self, driver: str, task: str, **arguments: Any) -> subprocess.Popen[str]:
        command = [str(each) for each in (PYTHON, CLIENT, self.port, driver, task)]
        client = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert client.stdin is not None
        client.stdin.write(json.dumps(arguments))
        client.stdin.close()
        client.stdin = None
        return client

    def ask(self, driver: str, task: str, **arguments: Any) -> Any:
        out, err = self.client(driver, task, **arguments).communicate(timeout=200)
        assert out, err
        return json.loads(out)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("server")
    one_row = {"mini_batch_size": 1, "environment_variables": {"MARKS": str(folder / "marks")}}
    sections = {"input": {"schema": "age double"}, "output": {"schema": "risk double"}, **one_row}
    deployments = [sql_checks.deployment(folder, "heart", SCRIPT, **sections), sql_checks.echo(folder, DDL)]
    # The files come later.
    locations = {name: folder / "echo" / name for name in ("rows", "job")}
    (folder / "tables.sql").write_text(
        "".join(f"CREATE TABLE {name} ({DDL}) USING parquet LOCATION '{place}';\n" for name, place in locations.items())
    )
    options = ["--tables", "tables.sql", "--port", "0", "--master", "local[2]", "--trust-clients", "--runs", "runs"]
    options += ["--spark-conf", "spark.sql.execution.arrow.maxRecordsPerBatch=500"]
    process = subprocess.Popen(
        [PROGRAM, "sql-server", *map(str, deployments), *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield Served(process, int(url_of(process).rpartition(":")[2]), folder)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err


@pytest.mark.parametrize("driver", DRIVERS)
def test_clients_list_describe_query_and_get_errors(server: Served, driver: str) -> None:
    listed, described, values, bad_row, wrong, dropped, again = server.ask(
        driver,
        "ask",
        statements=[
            "SHOW FUNCTIONS LIKE 'heart*'",
            "SELECT heart_describe()",
            "SELECT heart(50).risk, heart_struct(struct(40 AS age)).risk",
            "SELECT p.risk, p.error FROM (SELECT heart(x) AS p FROM VALUES (-1), (10) AS t(x)) ORDER BY error",
            "SELECT heart(years => 3).risk",
            "DROP TEMPORARY FUNCTION heart",
            "SELECT heart(50).risk",
        ],
    )

    assert {"heart", "heart_describe", "heart_struct"} <= {name for (name,) in listed}
    assert described[0][0].startswith("Function:      heart\n")
    assert values == [[0.5, 0.4]]
    assert bad_row == [[0.1, None], [None, "ValueError: age is negative"]]
    assert "[SQL_ARGUMENTS] function " in wrong
    assert "[SQL_REFUSED]" in dropped
    assert again == [[0.5]]


@pytest.mark.parametrize("driver", DRIVERS)
def test_ten_clients_at_once_get_their_own_values_and_settings(server: Served, driver: str) -> None:
    (zone, _) = server.ask(driver, "ask", statements=["SELECT current_timezone()", "SET TIME ZONE 'Asia/Tokyo'"])

    answers = server.ask(
        driver, "crowd", statements=[f"SELECT heart({age}).risk, current_timezone()" for age in range(10)]
    )

    assert zone == [["UTC"]]
    assert answers == [[[0.01 * age, "UTC"]] for age in range(10)]


def test_a_connection_sets_nothing_in_the_server(server: Served) -> None:
    allowed = [{"use:database": "default"}, {"set:hiveconf:spark.sql.session.timeZone": "Asia/Tokyo"}]
    refused = [
        {"set:system:java.io.tmpdir": "/"},
        {"set:metaconf:hive.metastore.try.direct.sql": "false"},
        {"set:hivevar:x": "${env:HOME}"},
        {"set:hiveconf:spark.sql.runSQLOnFiles": "true"},
        {"hive.exec.scratchdir": "/"},
    ]

    answers = server.ask("pyhive", "opened", settings=allowed + refused)

    assert answers[: len(allowed)] == ["", ""]
    assert all("[SQL_REFUSED] the connection: got the setting " in answer for answer in answers[len(allowed) :])


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_cancelled_query_stops(server: Served, driver: str) -> None:
    server.marks.unlink(missing_ok=True)

    server.ask(driver, "cancel", statement=SLOW, marks=str(server.marks))

    assert_stops(server)


@pytest.mark.parametrize(("driver", "wait"), [("pyhive", True), ("pyhive", False), ("impyla", False)])
def test_the_query_of_a_killed_client_stops(server: Served, driver: str, *, wait: bool) -> None:
    server.marks.unlink(missing_ok=True)
    client = server.client(driver, "hold", statement=SLOW, wait=wait)
    for _ in range(600):
        if server.count() > 1:
            break
        assert client.poll() is None, client.communicate()[1]
        time.sleep(0.1)

    client.kill()
    client.communicate()

    assert_stops(server)
    last = next(record for record in list_queries(server.folder / "runs") if record.functions)
    assert (last.state, last.functions[0].name) == ("ABORT", "heart")


def assert_stops(server: Served) -> None:
    # A half second until it is seen, and two that Spark gives a Python worker to end. There are 60 seconds of work.
    time.sleep(6)
    before = server.count()
    time.sleep(4)
    assert 0 < server.count() == before < 30


def test_10_000_rows_of_every_type_have_the_values_of_a_job_over_the_wire(server: Served, spark: SparkSession) -> None:
    (server.folder / "echo" / "job").mkdir(parents=True)
    found = sql_checks.differences(spark, server.folder / "echo")
    pq.write_table(pq.read_table(server.folder / "echo" / "out"), server.folder / "echo" / "job" / "part.parquet")
    columns = ", ".join(found["different"])
    scored = f"(SELECT id, sql_echo({columns}) AS p FROM rows)"  # noqa: S608 - of this test

    function, job, refused = server.ask(
        "pyhive",
        "ask",
        statements=[
            f"SELECT p.* FROM {scored} WHERE p.error IS NULL ORDER BY p.id",  # noqa: S608
            f"SELECT {columns}, NULL AS error, NULL AS model_version FROM job ORDER BY id",  # noqa: S608
            f"SELECT id FROM {scored} WHERE p.error IS NOT NULL",  # noqa: S608
        ],
    )

    left_out = {row[0] for row in refused}
    assert (len(job), len(left_out)) == (10_000, found["refused"])
    # As texts, in which NaN is equal to itself.
    assert repr(function) == repr([row for row in job if row[0] not in left_out])
