"""The template and its children, as a worker sees them: through their sockets, exit codes and answers."""

from __future__ import annotations

import ctypes
import itertools
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pytest

from sparkscore.minibatch import MiniBatch
from sparkscore.scorers import ScriptSpec
from sparkscore.scorers.dtypes import Dtypes
from sparkscore.scripts.packing import pack_script
from sparkscore.signature import parse_ddl
from sparkscore.worker import EngineSpec, LineageValues, ResultSpec
from sparkscore.worker.child.children import EXIT_CODE
from sparkscore.worker.child.main import CONNECTION_BROKEN
from sparkscore.worker.child.messages import ChildForgotten, Connection, ConnectionLostError, Forked
from sparkscore.worker.child.shared_memory import SharedMemory

CODE = "import json, sys; from sparkscore.worker.child.main import main; main(*json.loads(sys.argv[1]))"
TEMPLATE_TOKEN, CHILD_TOKEN = b"t" * 16, b"c" * 16
PREDICTIONS = parse_ddl("prediction bigint")
AT = datetime(2026, 1, 1, tzinfo=UTC)
NUMBERS = pa.array(range(200), pa.int64())
COLUMNS = {
    "whole": NUMBERS,
    "double": NUMBERS.cast(pa.float64()),
    "text": NUMBERS.cast(pa.string()),
    "bytes": NUMBERS.cast(pa.string()).cast(pa.binary()),
    "day": NUMBERS.cast(pa.int32()).cast(pa.date32()),
    "time": NUMBERS.cast(pa.timestamp("us", "UTC")),
    "price": NUMBERS.cast(pa.decimal128(20, 0)),
    "list": pa.array([[float(number)] for number in range(200)]),
    "word": NUMBERS.dictionary_encode(),
}
RESULT = ResultSpec(PREDICTIONS, (), (), LineageValues("night", None, None))


class Started:
    """A template that was started by hand, and the children that it is asked for."""

    def __init__(self, worker: int | None = None) -> None:
        self.end, theirs = socket.socketpair()
        self._number = 0
        self._ends: list[socket.socket] = []
        self._pipes: dict[int, int] = {}
        arguments = f'[{theirs.fileno()}, {worker or os.getpid()}, "{TEMPLATE_TOKEN.hex()}"]'
        command = [sys.executable, "-c", CODE, arguments]
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        self.connection = Connection(self.end, TEMPLATE_TOKEN)

    def start_child(
        self, trace: IO[bytes], memory: SharedMemory | None = None
    ) -> tuple[int, Connection, socket.socket]:
        end, theirs = socket.socketpair()
        self._ends.append(end)
        self._number += 1
        self.connection.send(CHILD_TOKEN, self._number)
        shared = [] if memory is None else [memory.descriptor]
        reading, writing = os.pipe()
        socket.send_fds(self.end, [b"."], [theirs.fileno(), trace.fileno(), writing, *shared])
        theirs.close()
        os.close(writing)
        forked: Forked = self.connection.receive(self._number, self.process.pid, 60)
        assert forked.has_memory == (memory is not None)
        self._pipes[forked.pid] = reading
        connection = Connection(end, CHILD_TOKEN)
        connection.memory = memory
        return forked.pid, connection, end

    def end_of_child(self, pid: int | None = None) -> int:
        """Return the exit code of a child, or of the last one."""
        pid = pid or list(self._pipes)[-1]
        ready = select.poll()
        ready.register(self._pipes[pid], select.POLLIN)
        assert ready.poll(60_000)
        (code,) = EXIT_CODE.unpack(os.read(self._pipes[pid], EXIT_CODE.size))
        os.close(self._pipes.pop(pid))
        self._number += 1
        self.connection.send(ChildForgotten(pid), self._number)
        return int(code)

    def stop(self) -> int:
        for end in (self.end, *self._ends):
            end.close()
        while self._pipes:
            os.close(self._pipes.popitem()[1])
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def template() -> Iterator[Started]:
    started = Started()
    yield started
    started.stop()


@pytest.fixture
def trace() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as file:
        yield file


@pytest.fixture
def engine(tmp_path: Path) -> Callable[..., EngineSpec]:
    def make(script: str, dtypes: Dtypes = Dtypes()) -> EngineSpec:  # noqa: B008 - it is frozen
        code = tmp_path / "code"
        code.mkdir()
        (code / "score.py").write_text(script)
        packed = pack_script(code, "score.py").code
        return EngineSpec("k", ScriptSpec(packed, "score.py", work_folder=str(tmp_path), dtypes=dtypes))

    return make


def ask(connection: Connection, pid: int, number: int, *request: Any) -> Any:
    connection.send(request, number)
    return connection.receive(number, pid, 60)


def test_a_child_loads_scores_and_ends_with_the_workers_end_of_its_connection(
    template: Started, trace: IO[bytes], engine: Callable[[str], EngineSpec]
) -> None:
    spec = engine("def run(files): return [len(file) for file in files]")
    pid, child, _ = template.start_child(trace)

    kind, loaded = ask(child, pid, 1, "load", spec, ["/more/code"])
    assert (kind, loaded.failure) == ("answer", None)
    kind, probed = ask(child, pid, 2, "probe", MiniBatch("0", ("/in/a",)), None)
    assert (kind, probed.failure, probed.predictions.names) == ("answer", None, ["prediction"])

    child.close()
    assert template.end_of_child() == 0
    assert template.stop() == 0


def test_a_template_makes_one_child_after_the_other(template: Started, trace: IO[bytes]) -> None:
    pids = []
    for _ in range(3):
        pid, child, _ = template.start_child(trace)
        child.close()
        assert template.end_of_child() == 0
        pids.append(pid)

    assert len(set(pids)) == 3
    assert template.stop() == 0


def test_the_end_of_a_child_by_a_signal_is_a_negative_number(template: Started, trace: IO[bytes]) -> None:
    pid, _, _ = template.start_child(trace)

    os.kill(pid, signal.SIGKILL)

    assert template.end_of_child() == -signal.SIGKILL


def test_what_cannot_be_answered_is_said_in_plain_text(
    template: Started, trace: IO[bytes], engine: Callable[[str], EngineSpec]
) -> None:
    pid, child, _ = template.start_child(trace)
    ask(child, pid, 1, "load", engine("def run(b): return b"), [])

    kind, told = ask(child, pid, 2, "probe")

    assert kind == "broken"
    assert "TypeError" in told
    child.close()
    assert template.end_of_child() == 0


def test_a_message_that_is_not_the_workers_ends_the_child_with_a_code_of_its_own(
    template: Started, trace: IO[bytes]
) -> None:
    _, _, end = template.start_child(trace)

    end.sendall(b"written by other code, longer than a header")

    assert template.end_of_child() == CONNECTION_BROKEN


def test_a_template_whose_worker_is_gone_already_ends() -> None:
    started = Started(worker=1)

    assert started.process.wait(60) == 1
    with pytest.raises(ConnectionLostError):
        started.connection.receive(1, started.process.pid, 5)
    started.stop()


def test_rows_reach_a_child_through_shared_memory_and_stay_as_they_are(
    template: Started, trace: IO[bytes], engine: Callable[[str], EngineSpec]
) -> None:
    memory = SharedMemory.create()
    assert memory is not None
    script = "kept = []\ndef run(rows):\n    kept.append(rows)\n    return [int(kept[0]['x'].sum())] * len(rows)"
    pid, child, _ = template.start_child(trace, memory)
    ask(child, pid, 1, "load", engine(script), [])

    answers = [
        ask(child, pid, number, "score", MiniBatch("0", (), pa.table({"x": [number] * 3})), RESULT, datetime.now(UTC))
        for number in (2, 3)
    ]

    assert [kind for kind, _ in answers] == ["answer"] * 2
    assert [outcome.table.column("prediction").to_pylist() for _, outcome in answers] == [[6] * 3] * 2
    child.close()
    assert template.end_of_child() == 0
    assert not Path(f"/proc/{template.process.pid}/maps").read_text().count("memfd:sparkscore")
    memory.close()


@pytest.mark.parametrize("are_arrow", [True, False])
def test_what_a_script_keeps_of_its_rows_stays_as_it_was(
    template: Started, trace: IO[bytes], engine: Callable[..., EngineSpec], *, are_arrow: bool
) -> None:
    memory = SharedMemory.create()
    assert memory is not None
    script = """
kept = {}
def run(rows):
    first = kept.setdefault(tuple(rows.columns), rows)
    return [first.to_csv()] * len(rows)
"""
    pid, child, _ = template.start_child(trace, memory)
    ask(child, pid, 1, "load", engine(script, Dtypes(are_arrow=are_arrow)), [])
    result = replace(RESULT, predictions=parse_ddl("prediction string"))

    told: list[list[str]] = [[], []]
    numbers = itertools.count(2)
    for chosen, half in itertools.product([[name] for name in COLUMNS] + [list(COLUMNS)], (0, 1)):
        rows = pa.table({name: COLUMNS[name].slice(half * 100, 100) for name in chosen})
        kind, outcome = ask(child, pid, next(numbers), "score", MiniBatch("0", (), rows), result, AT)
        assert (kind, outcome.failure) == ("answer", None)
        told[half].append(outcome.table.column("prediction")[0].as_py())

    assert told[0] == told[1]
    child.close()
    assert template.end_of_child() == 0
    memory.close()


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library")
def test_memory_that_a_call_has_freed_is_kept_for_the_next(
    template: Started, trace: IO[bytes], engine: Callable[..., EngineSpec]
) -> None:
    script = """
import resource
import numpy as np

def run(files):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(250_000), np.ones(250_000)]
    del arrays
    return [resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before] * len(files)
"""
    pid, child, _ = template.start_child(trace)
    ask(child, pid, 1, "load", engine(script), [])

    faults = []
    for number in range(2, 12):
        _, outcome = ask(child, pid, number, "score", MiniBatch("0", ("/in/a",)), RESULT, AT)
        faults.append(outcome.table.column("prediction")[0].as_py())

    assert min(faults) < 100  # 1,000 pages of 4 KiB otherwise
    child.close()
    assert template.end_of_child() == 0


ENDS = """
import atexit, gc, os, sys, threading, time
from pathlib import Path

place = Path({place!r})
line = open(place / "of the script", "w", buffering=1 << 20)
line.write("written")

class Kept:
    def __init__(self, name):
        self.name = name
    def __del__(self):
        (place / self.name).touch()

def later():
    time.sleep(0.3)
    (place / "of a thread").touch()

mine = Kept("object of the script")
atexit.register((place / "at exit").touch)
threading.Thread(target=later).start()
if {has_file}:
    sys.file = open(place / "of something else", "w", buffering=1 << 20)
    sys.file.write("written")

def run(files):
    return [1] * len(files)
"""


@pytest.mark.parametrize("has_file", [False, True])
def test_a_child_ends_after_what_a_script_may_rely_on(
    template: Started, trace: IO[bytes], engine: Callable[..., EngineSpec], tmp_path: Path, *, has_file: bool
) -> None:
    pid, child, _ = template.start_child(trace)
    ask(child, pid, 1, "load", engine(ENDS.format(place=str(tmp_path), has_file=has_file)), [])
    child.close()

    assert template.end_of_child() == 0
    assert (tmp_path / "of the script").read_text() == "written"
    assert {"of a thread", "at exit", "object of the script"} <= {path.name for path in tmp_path.iterdir()}
    assert not has_file or (tmp_path / "of something else").read_text() == "written"


def test_children_run_side_by_side_and_end_in_any_order(template: Started, trace: IO[bytes]) -> None:
    first, connection_of_first, _ = template.start_child(trace)
    second, _, _ = template.start_child(trace)
    third, connection_of_third, _ = template.start_child(trace)

    os.kill(second, signal.SIGTERM)
    assert template.end_of_child(second) == -signal.SIGTERM
    connection_of_third.close()
    assert template.end_of_child(third) == 0
    fourth, connection_of_fourth, _ = template.start_child(trace)
    connection_of_first.close()
    assert template.end_of_child(first) == 0
    connection_of_fourth.close()
    assert template.end_of_child(fourth) == 0
    assert template.stop() == 0


def test_a_child_has_nothing_of_the_template_and_of_other_children(
    template: Started, trace: IO[bytes], engine: Callable[..., EngineSpec]
) -> None:
    script = """
import os, signal
def run(files):
    handler = signal.getsignal(signal.SIGCHLD)
    return [f"{handler == signal.SIG_DFL} {signal.set_wakeup_fd(-1)} {len(os.listdir('/proc/self/fd'))}"] * len(files)
"""
    spec, result = engine(script), replace(RESULT, predictions=parse_ddl("prediction string"))
    told = []
    for _ in range(2):
        pid, child, _ = template.start_child(trace)
        ask(child, pid, 1, "load", spec, [])
        _, outcome = ask(child, pid, 2, "score", MiniBatch("0", ("/in/a",)), result, AT)
        told.append(outcome.table.column("prediction")[0].as_py())

    assert told[0].startswith("True -1 ")
    assert told[1] == told[0]
