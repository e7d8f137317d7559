"""What another user of this machine learns from a local session: nothing from its ports, its processes, its logs."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

_SESSION = """
import json, os, sys
from sparkscore.spark.session import local_session

folder, conf = sys.argv[1], json.loads(sys.argv[2])
spark = local_session(master="local[2]", conf=conf, log_file=f"{folder}/spark.log")
kept = spark.sparkContext.broadcast(b"the script" * 1000)
assert spark.sparkContext.parallelize([1, 2], 2).map(lambda one: len(kept.value)).sum() == 20000
jvm = spark.sparkContext._jvm
credentials = jvm.org.apache.hadoop.security.UserGroupInformation.getCurrentUser().getCredentials()
cookie = credentials.getSecretKey(jvm.org.apache.hadoop.io.Text("sparkCookie"))
print(json.dumps({
    "cookie": None if cookie is None else bytes(cookie).decode(),
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
# Speaks to a port as each of Spark's and PySpark's processes does, without a secret, and prints how each answer begins.
_SPEAK = """
import socket, struct, sys

def text(value):
    return struct.pack(">i", len(value)) + value.encode()

def frame(body):
    return struct.pack(">q", len(body) + 8) + body

blocks = b"\\0" + text(sys.argv[2]) + text("driver") + struct.pack(">i", 1) + text("broadcast_0_piece0")
questions = {
    "a block": frame(struct.pack(">BqI", 3, 1, len(blocks)) + blocks),
    "a file": frame(b"\\x06" + text("/files/secret.py")),
    "Java": b"r\\nu\\nSystem\\nrj\\ne\\n",
    "Java without its secret": b"A\\nwrong\\ne\\nr\\nu\\nSystem\\nrj\\ne\\n",
    "a worker": text("wrong"),
    "a task": struct.pack(">i", 5) + b"wrong" + struct.pack(">i", 0),
}
for port in sys.argv[1].split(","):
    for name, question in questions.items():
        try:
            with socket.create_connection(("127.0.0.1", int(port)), timeout=3) as link:
                link.settimeout(3)
                link.sendall(question)
                answer = link.recv(200)
        except OSError:
            answer = b""
        print(port, name, ascii(answer), sep="\\t")
"""
# A block or the way to it, a file's content, an object of Java, a worker that goes on. Source: Spark gives files that
# were added to a session (addFile, --jars) to all who know their names, so it answers that there is none of this name.
_GIVES = re.compile(rb"\0{6}.{2}[\x04\x07]|!?y[a-z]|.{0,4}ok", re.DOTALL)
# 127.0.0.1, as IPv4 and inside IPv6, and ::1.
_LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


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


def _as_another(program: str, *arguments: str) -> str:
    """Run a program as another user, where this one may."""
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    command = [python or sys.executable, "-c", program, *arguments]
    if python and os.getuid() == 0 and shutil.which("setpriv"):
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=200).stdout.strip()


def _ask(found: dict[str, Any]) -> str:
    return _as_another(_ASK, str(found["port"]), found["application"])


def _processes(found: dict[str, Any]) -> list[int]:
    """Give the session's processes: Python, the JVM, and what they have started."""
    pids = [found["python"]]
    for pid in pids:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            pids += [int(child) for child in children.read_text().split()]
    return pids


def _ports(pids: list[int]) -> dict[int, str]:
    """Give the ports at which processes listen, each with its address as the kernel writes it."""
    sockets = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
            with suppress(OSError):
                sockets.add(descriptor.readlink().name)
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and f"socket:[{inode}]" in sockets:
                address, port = local.split(":")
                found[int(port, 16)] = address
    return found


def _given(found: dict[str, Any]) -> dict[tuple[str, str], bytes]:
    """Ask everything at every port of a session, and give the answers that tell something."""
    ports = ",".join(map(str, _ports(_processes(found))))
    lines = [line.split("\t") for line in _as_another(_SPEAK, ports, found["application"]).splitlines()]
    answers = {(port, question): ast.literal_eval(answer) for port, question, answer in lines}
    return {key: answer for key, answer in answers.items() if _GIVES.match(answer)}


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_another_user_gets_no_block_and_reads_no_secret(tmp_path: Path) -> None:
    secrets = {"spark.hadoop.store.password": "tr0ub4dor", "spark.executorEnv.OPENAI_KEY": "k3yk3yk3y"}
    events = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": str(tmp_path), "spark.eventLog.compress": "false"}
    with _session(tmp_path, **secrets, **events) as found:
        answer, pids = _ask(found), _processes(found)
        ports, given = _ports(pids), _given(found)
        # Every user may read a command line; this test's own has the secrets in it.
        shown = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids if pid != found["python"])
        shown += b"".join(Path(f"/proc/{found[name]}/environ").read_bytes() for name in ("jvm", "python"))

    assert answer in _REFUSED
    assert given == {}
    assert found["jvm"] in pids
    assert len(ports) >= 3
    assert set(ports.values()) <= _LOOPBACK
    kept = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    assert "SparkListenerEnvironmentUpdate" in kept
    assert found["cookie"]
    for secret in (*secrets.values(), found["cookie"]):
        assert secret.encode() not in shown
        assert secret not in kept
    assert found["setting"] == "tr0ub4dor"
    assert (found["names"], found["rows"], found["locale"]) == ("UTF-8", 2, "C")


def test_the_question_is_answered_where_the_session_does_not_ask_who_it_is(tmp_path: Path) -> None:
    with _session(tmp_path, **{"spark.authenticate": "false"}) as found:
        assert _ask(found) == _GIVEN
        assert {question for _, question in _given(found)} == {"a block"}
