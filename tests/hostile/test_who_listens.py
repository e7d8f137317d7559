"""What another user of this machine learns from a local session: nothing from its ports, its processes, its logs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_SESSION = """
import json, os, sys
from sparkscore.session import local_session

folder, conf = sys.argv[1], json.loads(sys.argv[2])
spark = local_session(master="local[2]", conf=conf, log_file=f"{folder}/spark.log")
kept = spark.sparkContext.broadcast(b"the script" * 1000)
assert spark.sparkContext.parallelize([1, 2], 2).map(lambda one: len(kept.value)).sum() == 20000
jvm = spark.sparkContext._jvm
print(json.dumps({
    "jvm": jvm.java.lang.ProcessHandle.current().pid(),
    "python": os.getpid(),
    "application": spark.sparkContext.applicationId,
    "port": spark.sparkContext._jsc.sc().env().blockManager().blockManagerId().port(),
    "names": jvm.java.lang.System.getProperty("sun.jnu.encoding"),
    "rows": spark.read.csv(f"{folder}/\\u00fc.csv").count(),
    "locale": os.environ.get("LC_ALL"),
    "setting": spark.sparkContext.getConf().get("spark.hadoop.store.password"),
}), flush=True)
sys.stdin.readline()
spark.stop()
"""
# Asks the block manager for a broadcast block, as an executor does; prints the kind of the answer, 4 where it is given.
_ASK = """
import socket, struct, sys

def text(value):
    return struct.pack(">i", len(value)) + value.encode()

port, application = int(sys.argv[1]), sys.argv[2]
body = b"\\0" + text(application) + text("driver") + struct.pack(">i", 1) + text("broadcast_0_piece0")
frame = struct.pack(">BqI", 3, 1, len(body)) + body
with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
    link.sendall(struct.pack(">q", len(frame) + 8) + frame)
    answer = link.recv(9)
print(answer[8] if len(answer) == 9 else "closed")
"""
_GIVEN, _REFUSED = "4", {"5", "closed"}


@contextmanager
def _session(folder: Path, **conf: str) -> Iterator[dict[str, Any]]:
    (folder / "ü.csv").write_text("1\n2\n")
    environment = {**os.environ, "LC_ALL": "C"}
    command = [sys.executable, "-c", _SESSION, str(folder), json.dumps(conf)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(60)


def _ask(found: dict[str, Any]) -> str:
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    command = [python or sys.executable, "-c", _ASK, str(found["port"]), found["application"]]
    if python and os.getuid() == 0 and shutil.which("setpriv"):
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_another_user_gets_no_block_and_reads_no_secret(tmp_path: Path) -> None:
    secrets = {"spark.hadoop.store.password": "tr0ub4dor", "spark.executorEnv.OPENAI_KEY": "k3yk3yk3y"}
    events = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": str(tmp_path), "spark.eventLog.compress": "false"}
    with _session(tmp_path, **secrets, **events) as found:
        answer = _ask(found)
        shown = b"".join(
            Path(f"/proc/{found[name]}/{file}").read_bytes()
            for name, file in (("jvm", "cmdline"), ("jvm", "environ"), ("python", "environ"))
        )

    assert answer in _REFUSED
    kept = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    assert "SparkListenerEnvironmentUpdate" in kept
    for secret in secrets.values():
        assert secret.encode() not in shown
        assert secret not in kept
    assert found["setting"] == "tr0ub4dor"
    assert (found["names"], found["rows"], found["locale"]) == ("UTF-8", 2, "C")


def test_the_question_is_answered_where_the_session_does_not_ask_who_it_is(tmp_path: Path) -> None:
    with _session(tmp_path, **{"spark.authenticate": "false"}) as found:
        assert _ask(found) == _GIVEN
