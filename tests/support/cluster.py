"""A standalone Spark cluster on this machine: a master and two workers on loopback addresses."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pyspark

_HOME: Final = Path(pyspark.__file__).parent
_MASTER: Final = "org.apache.spark.deploy.master.Master"
_WORKER: Final = "org.apache.spark.deploy.worker.Worker"
_WORKERS: Final = ("127.0.0.2", "127.0.0.3")
_LONGEST_S: Final = 60


@contextmanager
def standalone_cluster(folder: Path) -> Iterator[str]:
    """Start the cluster, yield its URL, and stop it at the end."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        log = folder / "master.log"
        options = ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
        # A worker whose executors are killed again and again stays in the cluster.
        started.append(_start([_MASTER, *options], log, "-Dspark.deploy.maxExecutorRetries=-1"))
        url = _wait_for(log, r"Starting Spark master at (spark://\S+)")
        for host in _WORKERS:
            own = folder / host
            options = ["--host", host, "--cores", "1", "--memory", "1g", "--webui-port", "0", "--work-dir", str(own)]
            started.append(_start([_WORKER, *options, url], folder / f"{host}.log"))
            _wait_for(folder / f"{host}.log", "(Successfully registered with master)")
        yield url
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _start(arguments: list[str], log: Path, java: str = "") -> subprocess.Popen[bytes]:
    environment = os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_MASTER_OPTS": java, "SPARK_HOME": str(_HOME)}
    with log.open("wb") as out:
        command = [str(_HOME / "bin" / "spark-class"), *arguments]
        return subprocess.Popen(command, stdout=out, stderr=out, env=environment, start_new_session=True)


def _wait_for(log: Path, pattern: str) -> str:
    end = time.monotonic() + _LONGEST_S
    while time.monotonic() < end:
        if found := re.search(pattern, log.read_text(errors="replace")):
            return found[1]
        time.sleep(0.05)
    raise TimeoutError(f"not in {log.name}: {pattern}\n{log.read_text(errors='replace')[-2000:]}")
