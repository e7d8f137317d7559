"""Copies of tasks that Spark starts on another host while the first one is slow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import drive
from tests.support.cluster import standalone_cluster
from tests.support.ledger import check_ledger

pytestmark = pytest.mark.faults
MakeDeployment = Callable[..., Path]
FILES = 40
# The first who scores the last file is slow; whoever comes second is not.
SCRIPT = """
import os, time, uuid
from pathlib import Path

def run(files):
    for file in files:
        (Path({calls!r}) / (Path(file).name + "." + uuid.uuid4().hex)).touch()
        if Path(file).name == "39.txt":
            try:
                os.close(os.open({slow!r}, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                time.sleep({seconds})
    return [1] * len(files)
"""
SPECULATION = {
    "spark.speculation": "true",
    "spark.speculation.interval": "100ms",
    "spark.speculation.multiplier": "1.1",
    "spark.speculation.quantile": "0.5",
    "spark.executor.memory": "600m",
    "spark.ui.enabled": "false",
}


@pytest.mark.parametrize("output_format", ["delta", "parquet"])
@pytest.mark.parametrize("seconds", [100, 8], ids=["that is killed", "that finishes later"])
def test_23_and_24_of_a_slow_task_and_its_copy_one_counts(
    seconds: int, output_format: str, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "calls").mkdir()
    for number in range(FILES):
        (tmp_path / "in" / f"{number:02}.txt").write_text("x" * number)
    script = SCRIPT.format(calls=str(tmp_path / "calls"), slow=str(tmp_path / "slow"), seconds=seconds)
    output = {"format": output_format, "schema": "prediction bigint"}
    deployment = make_deployment(
        script, settings={"mini_batch_size": 1, "retry_settings": {"timeout": 200}}, output=output
    )
    with standalone_cluster(tmp_path) as url:
        options = {
            "deployment": str(deployment), "input": str(tmp_path / "in"), "input_format": "files",
            "output": str(tmp_path / "out"), "runs": str(tmp_path / "runs"), "master": url, "conf": SPECULATION,
        }  # fmt: skip
        (tmp_path / "options.json").write_text(json.dumps(options))
        command = [sys.executable, str(Path(drive.__file__)), str(tmp_path / "options.json")]
        start = time.monotonic()
        environment = os.environ | {"PYSPARK_PYTHON": sys.executable}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150, check=False)
        took = time.monotonic() - start

    assert ended.returncode == 0, ended.stderr[-3000:]
    record = json.loads(ended.stdout.splitlines()[-1])
    check_ledger(record, tmp_path / "runs", [str(path) for path in (tmp_path / "in").iterdir()], key=None)
    assert len(list((tmp_path / "calls").glob("39.txt.*"))) == 2, "Spark started no copy of the slow task"
    assert took < 100 or seconds < 100, "the run waited for the slow one"
