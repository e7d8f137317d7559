"""The archive of Spark's classes, as the command makes it and as Java uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sparkscore.spark.class_archive import VARIABLE

type_of_run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.faults

MAPPED = """
import sys
from pathlib import Path
from sparkscore.spark.session import local_session
spark = local_session(master="local[1]", log_file="spark.log", delta=False)
java = spark.sparkContext._gateway.proc.pid
print(sys.argv[1] in Path(f"/proc/{java}/maps").read_text(), spark.range(3).count())
"""


@pytest.fixture
def _as_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a user without options for Java and with an empty cache."""
    for name in ("SPARK_SUBMIT_OPTS", "JDK_JAVA_OPTIONS", VARIABLE, "SPARKSCORE_RUNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("_as_user")
def test_java_maps_the_archive_that_the_command_made(run_python: type_of_run, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("sparkscore")

    ended = subprocess.run([program, "env", "classes", "--json"], capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    made = json.loads(ended.stdout)
    archive = Path(made["archive"])
    assert made == {"archive": str(archive), "bytes": archive.stat().st_size, "is_new": True}
    cache = tmp_path / "cache" / "sparkscore"
    assert {path.suffix for path in cache.iterdir()} <= {".jsa", ".lock", ".json"}
    assert run_python(MAPPED, str(archive)).stdout == "True 3\n"

    # One that was cut short would end Java with SIGBUS.
    os.truncate(archive, archive.stat().st_size // 2)
    ended = run_python(MAPPED, str(archive))

    assert (ended.returncode, ended.stdout) == (0, "False 3\n")
