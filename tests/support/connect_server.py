"""A Spark Connect server on this machine, with Delta, on a free port of a loopback address."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyspark

from sparkscore.spark.prerequisites import DELTA_EXTENSION, delta_coordinate
from sparkscore.spark.session import _IN_SPARK_ALREADY

_HOME: Final = Path(pyspark.__file__).parent
_ROOT: Final = Path(__file__).parents[2]
_CLASS: Final = "org.apache.spark.sql.connect.service.SparkConnectServer"
_STARTED: Final = "Spark Connect server started"
_LONGEST_S: Final = 120
_NO_SETTINGS: Final[Mapping[str, str]] = {}


@dataclass
class ConnectServer:
    """A running server.

    Attributes:
        port: the port on which it listens at 127.0.0.1.
        process: the JVM, the leader of a process group that has its Python workers, too.
        log: the file with its output.
    """

    port: int
    process: subprocess.Popen[bytes]
    log: Path
    _is_stopped: bool = field(default=False, init=False)

    @property
    def url(self) -> str:
        """The URL of the server, without a token."""
        return f"sc://localhost:{self.port}"

    def kill(self) -> None:
        """End the server and its workers at once, as a power cut does."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def suspend(self) -> None:
        """Let the server and its workers stop working, as a long garbage collection does."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """End `suspend`."""
        os.killpg(self.process.pid, signal.SIGCONT)


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def connect_server(
    folder: Path, *, settings: Mapping[str, str] = _NO_SETTINGS, token: str = "", port: int = 0
) -> Iterator[ConnectServer]:
    """Start a server, yield it when it answers, and end it by its process id.

    Args:
        folder: an existing folder for the server's log and its working files.
        settings: more Spark settings.
        token: the token that clients must send, or an empty string.
        port: the port, or 0 for a free one.
    """
    port = port or free_port()
    conf = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.jars.excludes": ",".join(_IN_SPARK_ALREADY),
        "spark.jars.packages": delta_coordinate(),
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.extensions": DELTA_EXTENSION,
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.ui.enabled": "false",
        **({"spark.connect.authenticate.token": token} if token else {}),
        **settings,
    }
    properties = folder / "server.conf"
    properties.write_text("".join(f"{key} {value}\n" for key, value in conf.items()))
    properties.chmod(0o600)
    log = folder / "server.log"
    command = [str(_HOME / "bin" / "spark-submit"), "--master", settings.get("spark.master", "local[2,4]")]
    command += ["--properties-file", str(properties), "--class", _CLASS, "spark-internal"]
    with log.open("ab") as out:
        before = out.tell()
        process = subprocess.Popen(
            command, stdout=out, stderr=out, cwd=folder, env=_environment(), start_new_session=True
        )
    server = ConnectServer(port, process, log)
    try:
        _wait_for(server, before)
        yield server
    finally:
        server.kill()


def client_environment(token: str, **variables: str) -> dict[str, str]:
    """Return the environment of a client process: that of this one, with a token and more variables."""
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH", ""))))
    ours = {key: value for key, value in os.environ.items() if not key.startswith(("SPARK_CONNECT_", "SPARK_REMOTE"))}
    tokens = {"SPARK_CONNECT_AUTHENTICATE_TOKEN": token} if token else {}
    return {**ours, "PYTHONPATH": path, **tokens, **variables}


def client_only(folder: Path, version: str) -> list[str]:
    """Return the import path of an environment with the package pyspark-client, and without pyspark and py4j.

    The package is installed from the package index. The other packages are those of this environment.
    """
    client, others = folder / "client", folder / "others"
    others.mkdir(parents=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
         "--no-build-isolation", "--target", str(client), f"pyspark-client=={version}"],
        check=True, timeout=200,
    )  # fmt: skip
    left_out = ("pyspark", "py4j", "delta", "__editable__", "__pycache__")
    for package in _HOME.parent.iterdir():
        if not package.name.startswith(left_out) and package.suffix != ".pth":
            (others / package.name).symlink_to(package)
    return [str(client), str(others), str(_ROOT)]


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH", ""))))
    given = {key: value for key, value in os.environ.items() if key not in {"SPARK_REMOTE", "PYSPARK_SUBMIT_ARGS"}}
    addresses = {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_HOSTNAME": "localhost"}
    return {**given, **addresses, "SPARK_HOME": str(_HOME), "PYSPARK_PYTHON": sys.executable, "PYTHONPATH": path}


def _wait_for(server: ConnectServer, before: int) -> None:
    """Wait until the server has logged that it started, after the output of earlier servers in the same file."""
    end = time.monotonic() + _LONGEST_S
    while time.monotonic() < end and server.process.poll() is None:
        if _STARTED.encode() in server.log.read_bytes()[before:]:
            return
        time.sleep(0.1)
    raise TimeoutError(f"the server did not start:\n{server.log.read_text(errors='replace')[-2000:]}")
