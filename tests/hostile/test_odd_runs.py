"""Runs of odd scripts in odd folders, from the command line, read back with PyArrow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

import sparkscore

ODD = """
import os, sys

def init():
    if not os.fork():
        sys.exit(0)
    for number in range(30_000):
        print(f"{number} " + "x" * 1000)
    print("login", os.environ["DB_PASS"], file=sys.stderr, flush=True)
    print("the last line", flush=True)

def run(rows):
    os.fork()
    assert "PYTHONSAFEPATH" not in os.environ
    return [int(x) * 10 for x in rows["x"]]
"""
DEPLOYMENT = "code_configuration: {code: code, scoring_script: score.py}\n"
PATCHES = """
import builtins, decimal, json, os, random, signal, sys, warnings
import numpy, pandas

SEEN = {
    "pandas": lambda: pandas.get_option("display.max_rows"),
    "patched": lambda: pandas.DataFrame.sum is ORIGINAL,
    "decimal": lambda: decimal.getcontext().prec,
    "umask": lambda: os.umask(0o22),
    "signal": lambda: str(signal.getsignal(signal.SIGTERM)),
    "numpy": lambda: numpy.geterr()["divide"],
    "builtins": lambda: hasattr(builtins, "mine"),
    "module": lambda: "mine" in sys.modules,
    "variable": lambda: os.environ.get("MINE"),
    "path": lambda: "/mine" in sys.path,
    "warnings": lambda: warnings.filters[0][0] == "error",
}
ORIGINAL = getattr(pandas.DataFrame, "first_sum", pandas.DataFrame.sum)

def init():
    global seen
    seen = json.dumps({name: ask() for name, ask in SEEN.items()})

def run(rows):
    pandas.set_option("display.max_rows", 7)
    pandas.DataFrame.first_sum, pandas.DataFrame.sum = ORIGINAL, lambda *_: 0
    decimal.getcontext().prec = 3
    os.umask(0o77)
    signal.signal(signal.SIGTERM, lambda *_: None)
    numpy.seterr(all="raise")
    builtins.mine = 1
    sys.modules["mine"] = json
    os.environ["MINE"] = "1"
    sys.path.append("/mine")
    warnings.simplefilter("error")
    return [seen] * len(rows)
"""


def command_for(deployment: Path, rows: Path, output: Path) -> list[str]:
    command = Path(sys.executable).with_name("sparkscore")
    places = ["--input", str(rows), "--output", str(output), "--output-format", "parquet"]
    return [str(command), "run", str(deployment), "--run-id", deployment.stem, *places]


def table_of(folder: Path, column: str) -> list[object]:
    values: list[object] = pq.read_table(folder, columns=[column]).column(column).to_pylist()
    return values


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "rows.csv").write_text("x\n" + "\n".join(map(str, range(40))) + "\n")
    return tmp_path / "in"


def test_forks_floods_and_neighbours_change_no_row_and_logs_are_bounded(tmp_path: Path, rows: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "score.py").write_text(ODD)
    for name in ("typing", "copy", "pandas", "socket"):
        (code / f"{name}.py").write_text("raise SystemExit(9)")
    (tmp_path / "odd.yml").write_text(
        DEPLOYMENT + "settings: {mini_batch_size: 7}\nenvironment_variables: {DB_PASS: tr0ub4dor}\n"
    )
    command = command_for(tmp_path / "odd.yml", rows, tmp_path / "out")
    with (code / "log.txt").open("w") as log:
        ended = subprocess.run(command, cwd=code, stdout=log, stderr=log, timeout=200, check=False)

    assert ended.returncode == 0, (code / "log.txt").read_text()
    assert "left out: 'log.txt' (a log that is being written)" in (code / "log.txt").read_text()
    assert sorted(table_of(tmp_path / "out", "prediction"), key=str) == sorted((x * 10 for x in range(40)), key=str)
    logs = list((tmp_path / "runs" / "odd").glob("spark.log*"))
    assert sum(path.stat().st_size for path in logs) <= 2 * 10 * 1024**2
    assert any(b"the last line" in path.read_bytes() for path in logs)
    assert any(b"login ***" in path.read_bytes() for path in logs)
    assert not any(b"tr0ub4dor" in path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file())


def test_what_one_script_changes_does_not_reach_the_next_run(
    spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: Callable[..., Path]
) -> None:
    found = []
    for number in range(3):
        deployment = make_deployment(PATCHES, f"d{number}", settings={"mini_batch_size": 100})
        output = tmp_path / f"out{number}"
        sparkscore.score(spark, deployment, input=rows, output=output, output_format="parquet")
        found += table_of(output, "prediction")

    assert len(found) == 120
    assert len(set(found)) == 1


def test_a_killed_run_whose_log_lies_in_the_code_folder_is_taken_up_though_stdout_is_full(
    tmp_path: Path, rows: Path
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    slow = "import time\ndef run(rows):\n    time.sleep(1)\n    return [int(x) * 10 for x in rows['x']]\n"
    (code / "score.py").write_text(slow)
    (tmp_path / "slow.yml").write_text(DEPLOYMENT + "settings: {mini_batch_size: 10}\nchunk_size: 10\n")
    command = command_for(tmp_path / "slow.yml", rows, tmp_path / "out")
    with (
        (code / "log.txt").open("w") as log,
        subprocess.Popen(command, cwd=code, stdout=log, stderr=log, start_new_session=True) as first,
    ):
        end = time.monotonic() + 100
        while not (tmp_path / "runs" / "slow" / "code.json").exists():
            assert time.monotonic() < end
            assert first.poll() is None, (code / "log.txt").read_text()
            time.sleep(0.1)
        time.sleep(2)
        os.killpg(first.pid, signal.SIGKILL)

    temporary = tmp_path / "tmp"
    temporary.mkdir()
    java = f"{os.environ.get('JDK_JAVA_OPTIONS', '')} -Djava.io.tmpdir={temporary}"
    environment = {**os.environ, "TMPDIR": str(temporary), "JDK_JAVA_OPTIONS": java}
    with Path("/dev/full").open("w") as full:
        again = subprocess.run(
            command, cwd=code, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=200, check=False
        )

    assert again.returncode == 0, again.stderr
    assert "left out: 'log.txt'" in again.stderr
    assert again.stderr.endswith("warning the answer was not written to stdout: No space left on device\n")
    assert "Traceback" not in again.stderr
    assert sorted(table_of(tmp_path / "out", "prediction"), key=str) == sorted((x * 10 for x in range(40)), key=str)
    # The JVM removes its folders while it ends, after this process.
    end = time.monotonic() + 20
    while left := [path.name for path in temporary.iterdir()]:
        assert time.monotonic() < end, left
        time.sleep(0.1)
