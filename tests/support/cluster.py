"""A standalone Spark cluster on this machine: a master and two workers on loopback addresses.

The workers may be hosts of their own in some ways: folders of this machine may be hidden from them, and they may be
another user, or have other environment variables.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pyspark
import pytest

_HOME: Final = Path(pyspark.__file__).parent
_MASTER: Final = "org.apache.spark.deploy.master.Master"
_WORKER: Final = "org.apache.spark.deploy.worker.Worker"
_WORKERS: Final = ("127.0.0.2", "127.0.0.3")
_LONGEST_S: Final = 60
# Hides folders, the arguments up to '--', with empty ones, and becomes the command that follows.
_HIDE: Final = """
mount --make-rprivate /
while [ "$1" != -- ]; do mount -t tmpfs none "$1" || exit 1; shift; done
shift
exec "$@"
"""


class Cluster(str):
    """The URL of a running cluster, which also knows its workers.

    Attributes:
        hosts: the processes of the workers, by their hosts' names. Each is the leader of a process group that has its
            executors, too.
    """

    __slots__ = ("hosts",)

    hosts: dict[str, subprocess.Popen[bytes]]


@contextmanager
def standalone_cluster(
    folder: Path,
    hidden: Sequence[Path] = (),
    user: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    """Start the cluster, yield its URL, and stop it at the end.

    The test is skipped if this machine does not let its user hide folders or start processes of another user.

    Args:
        folder: an existing folder for the logs and the work of master and workers. It must not be hidden.
        hidden: existing folders that workers and executors see as empty ones. They may write there, but what they write
            is seen by nobody else, not even by the other worker.
        user: the user id of workers and executors, or None for that of this process. They then work in a folder of
            their own, which is removed at the end. Everything that they need must be readable for that user.
        environment: environment variables that workers and executors have beside those of this process. Which Python
            they run is chosen by the driver (``PYSPARK_PYTHON``), whose ``python3`` is looked for in their ``PATH``.
    """
    prefix = [*_hiding(hidden), *_as_user(user)]
    own = folder if user is None else Path(tempfile.mkdtemp(prefix="sparkscore-cluster-"))
    if user is not None:
        os.chown(own, user, user)
    started: list[subprocess.Popen[bytes]] = []
    try:
        log = folder / "master.log"
        options = ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
        # A worker whose executors are killed again and again stays in the cluster.
        started.append(_start([_MASTER, *options], log, {"SPARK_MASTER_OPTS": "-Dspark.deploy.maxExecutorRetries=-1"}))
        cluster = Cluster(_wait_for(log, r"Starting Spark master at (spark://\S+)"))
        cluster.hosts = {}
        for host in _WORKERS:
            options = ["--host", host, "--cores", "1", "--memory", "1g", "--webui-port", "0"]
            command = [_WORKER, *options, "--work-dir", str(own / host), cluster]
            started.append(_start(command, folder / f"{host}.log", environment or {}, prefix))
            cluster.hosts[host] = started[-1]
            _wait_for(folder / f"{host}.log", "(Successfully registered with master)")
        yield cluster
    finally:
        for process in started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if user is not None:
            shutil.rmtree(own, ignore_errors=True)


def _hiding(hidden: Sequence[Path]) -> list[str]:
    """Return the start of a command line that hides folders from the command that follows."""
    if not hidden:
        return []
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        tried = subprocess.run(
            [*unshare, "sh", "-c", _HIDE, "sh", tempfile.gettempdir(), "--", "true"],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("folders cannot be hidden from the workers: there is no 'unshare' (Linux, package util-linux)")
    if tried.returncode:
        pytest.skip(f"folders cannot be hidden from the workers: no mount namespaces here ({tried.stderr.strip()})")
    return [*unshare, "sh", "-c", _HIDE, "sh", *map(str, hidden), "--"]


def _as_user(user: int | None) -> list[str]:
    if user is None:
        return []
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("workers of another user need the rights of root and 'setpriv' (Linux, package util-linux)")
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]


def _start(
    arguments: list[str], log: Path, environment: Mapping[str, str], prefix: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    variables = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_HOME": str(_HOME), **environment}
    with log.open("wb") as out:
        command = [*prefix, str(_HOME / "bin" / "spark-class"), *arguments]
        return subprocess.Popen(command, stdout=out, stderr=out, env=variables, start_new_session=True)


def _wait_for(log: Path, pattern: str) -> str:
    end = time.monotonic() + _LONGEST_S
    while time.monotonic() < end:
        if found := re.search(pattern, log.read_text(errors="replace")):
            return found[1]
        time.sleep(0.05)
    raise TimeoutError(f"not in {log.name}: {pattern}\n{log.read_text(errors='replace')[-2000:]}")
