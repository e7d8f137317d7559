"""Scoring on a Spark Connect server: the same results as on a classic session, from every client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyspark
import pytest

from tests.support.connect_server import ConnectServer, client_environment, client_only, connect_server
from tests.support.ledger import read_table
from tests.support.spark_cases import Cases, make_inputs

CASES = sorted(name for name in dir(Cases) if name.startswith("case_"))
TOKEN: Final = "a-s3cret-t0ken-of-this-server"  # noqa: S105 - of a server of these tests
SCRIPT = "def run(frame): return [len(text) for text in frame['text']]"
ROWS = [(1, "a"), (2, "bb"), (3, "Grüße")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConnectServer]:
    with connect_server(tmp_path_factory.mktemp("server"), token=TOKEN) as started:
        yield started


@pytest.fixture(scope="module")
def found(server: ConnectServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each case gave, by the way in which it ran. The classic process saves the pipeline for both."""
    folder = tmp_path_factory.mktemp("cases")
    (folder / "inputs").mkdir()
    make_inputs(folder / "inputs")
    for way in ("classic", server.url):
        command = [sys.executable, "-W", "ignore", "-m", "tests.support.spark_cases", way, str(folder)]
        variables = client_environment(TOKEN, SPARKSCORE_RUNS=str(folder / f"runs-{way[:2]}"))
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables, timeout=900)
        assert done.returncode == 0, done.stderr[-3000:]
        assert TOKEN not in done.stdout + done.stderr
    assert not files_with(TOKEN, folder)
    return {way: json.loads((folder / f"{way}.json").read_text()) for way in ("classic", "connect")}


def files_with(text: str, folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and text.encode() in file.read_bytes()]


@pytest.mark.timeout(1900)
@pytest.mark.parametrize("case", CASES)
def test_classic_and_connect_agree_in_every_cell(found: dict[str, dict[str, Any]], case: str) -> None:
    classic, connect = (found[way][case] for way in ("classic", "connect"))

    assert not isinstance(classic, str), classic
    assert connect == classic


def test_keys_of_folders_and_extremes_are_what_they_are(found: dict[str, dict[str, Any]]) -> None:
    table = found["connect"]["case_each_type_from_parquet"]["table"]

    assert (table["columns"]["day"], table["columns"]["id"]) == ("string", "int64")
    assert all(any(f"'{day}'" in row for row in table["rows"]) for day in ("007", "7", "010"))
    assert any(str(2**53 + 1) in row for row in table["rows"])
    assert found["connect"]["case_each_type_under_hostile_settings"]["kept"] is True


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path, make_deployment: Callable[..., Path]) -> Command:
    """Return a function that runs a command of sparkscore as a process in a folder with a deployment and its input."""
    make_deployment(SCRIPT, columns={"prediction": "letters"}, input={"location": str(tmp_path / "in.csv")})
    (tmp_path / "in.csv").write_text("id,text\n" + "".join(f"{number},{text}\n" for number, text in ROWS))

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sparkscore", *arguments, "--runs", "runs"],
            capture_output=True, text=True, check=False, cwd=tmp_path, env=client_environment("", **variables),
            timeout=600,
        )  # fmt: skip

    return run


def run_line(*more: str) -> list[str]:
    return ["run", "deployment/deployment.yml", "--output", "out", "--run-id", "night", *more]


def check_result(folder: Path) -> None:
    rows = read_table(folder / "out").to_pylist()
    assert sorted((row["id"], row["text"], row["letters"]) for row in rows) == [(*row, len(row[1])) for row in ROWS]


@pytest.mark.short
def test_commands_score_hold_publish_and_check_on_a_server(
    server: ConnectServer, command: Command, tmp_path: Path
) -> None:
    remote = {"SPARK_REMOTE": server.url, "SPARK_CONNECT_AUTHENTICATE_TOKEN": TOKEN}

    held = command(*run_line("--set", "publish=audit", "--remote", f"{server.url}/;token={TOKEN}"))
    published = command("publish", "night", **remote)
    again = command("resume", "night", "--json", **remote)
    checked = command("doctor", **remote)

    assert [done.returncode for done in (held, published, again)] == [0, 0, 0], held.stderr + published.stderr
    assert "HELD" in held.stdout
    assert "table         out (delta, version 0, 3 rows)" in published.stdout
    assert json.loads(again.stdout)["state"] == "COMPLETE"
    check_result(tmp_path)
    assert "ok       Spark Connect" in checked.stdout
    assert "ok       workers" in checked.stdout
    assert not any(TOKEN in done.stdout + done.stderr for done in (held, published, again, checked))
    assert not files_with(TOKEN, tmp_path)


@pytest.mark.parametrize(
    ("url", "variables", "code", "words"),
    [
        ("{url}/;token=another-t0ken", {}, "CONNECT_TOKEN", "SPARK_CONNECT_AUTHENTICATE_TOKEN"),
        ("{url}", {}, "CONNECT_TOKEN", "or none"),
        ("{address}/;token=" + TOKEN, {}, "CONNECT_URL", "--remote sc://localhost:"),
        ("{address}", {"SPARK_CONNECT_AUTHENTICATE_TOKEN": TOKEN}, "CONNECT_URL", "--remote sc://localhost:"),
        ("{url}/;use_ssl=true", {"SPARK_CONNECT_AUTHENTICATE_TOKEN": TOKEN}, "CONNECT_URL", "a server without TLS"),
    ],
)
def test_a_token_that_is_not_taken_is_named_at_once(  # noqa: PLR0917 - the cases
    server: ConnectServer, command: Command, tmp_path: Path, url: str, variables: dict[str, str], code: str, words: str
) -> None:
    remote = url.format(url=server.url, address=server.url.replace("localhost", "127.0.0.1"))
    started = time.monotonic()

    done = command(*run_line("--remote", remote, "--json"), **variables)

    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error["code"] == code
    assert words in error["message"]
    assert time.monotonic() - started < 30
    assert "t0ken" not in done.stdout + done.stderr
    assert not files_with("t0ken", tmp_path)
    assert not (tmp_path / "out").exists()


JOB = """
import sys
import sparkscore
from pyspark.sql import SparkSession

spark = SparkSession.builder.remote(sys.argv[1]).getOrCreate()
try:
    run = sparkscore.score(spark, "deployment/deployment.yml", output="out")
except sparkscore.SparkscoreError as error:
    print(error)
else:
    print(run.record["state"], run.predictions().count())
print([name for name in sys.modules if name.partition(".")[0] == "py4j"])
"""


def run_job(tmp_path: Path, python: list[str], url: str, variables: Mapping[str, str]) -> str:
    (tmp_path / "job.py").write_text(JOB)
    command = [*python, str(tmp_path / "job.py"), url]
    environment = client_environment(TOKEN, **variables)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment, timeout=200
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert TOKEN not in done.stdout + done.stderr
    return done.stdout


@pytest.mark.usefixtures("command")
def test_a_session_of_the_users_own_that_needs_tls_is_refused_soon(server: ConnectServer, tmp_path: Path) -> None:
    out = run_job(tmp_path, [sys.executable], server.url.replace("localhost", "127.0.0.1"), {})

    assert "[CONNECT_URL]" in out
    assert "sc://localhost" in out


@pytest.mark.usefixtures("command")
def test_the_package_pyspark_client_is_enough(server: ConnectServer, tmp_path: Path) -> None:
    path = client_only(tmp_path / "site", pyspark.__version__)
    python = [sys.executable, "-S"]

    out = run_job(tmp_path, python, server.url, {"PYTHONPATH": os.pathsep.join(path)})

    assert "COMPLETE 3" in out
    assert out.splitlines()[-1] == "[]"
    check_result(tmp_path)
    local = subprocess.run(
        [*python, "-m", "sparkscore", *run_line("--output", "other"), "--runs", "runs"],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=100,
        env=client_environment("", PYTHONPATH=os.pathsep.join(path)),
    )  # fmt: skip
    assert local.returncode == 2
    assert "[PYSPARK_MISSING] a local session cannot start with the package pyspark-client" in local.stderr
