"""A child answers each call once, itself; what its script does to the process is told by name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Outcome
from sparkscore.scorers import ScriptSpec
from sparkscore.scripts.packing import pack_script
from sparkscore.signature import parse_ddl
from sparkscore.worker import ChildSpec, EngineSpec, LineageValues, ResultSpec
from sparkscore.worker.child.supervisor import ChildEngine

AT = datetime(2026, 1, 1, tzinfo=UTC)
RESULT = ResultSpec(parse_ddl("y bigint"), ("x",), (), LineageValues("run", None, None))
HEAD = "import ctypes, os, signal, socket, sys, threading, time\n"
RUN = "def run(rows):\n    return [int(x) * 10 for x in rows['x']]\n"
SOCKETS = "[int(n) for n in os.listdir('/proc/self/fd') if n.isdigit() and 'socket' in link(n)]"
LINK = (
    "def link(n):\n    try:\n        return os.readlink(f'/proc/self/fd/{n}')\n    except OSError:\n        return ''\n"
)

# Runs the order whose number the first row has, each with names of its own; a child serves many orders.
BY_NUMBER = """
def run(rows):
    answer = [int(x) * 10 for x in rows['x']]
    exec(ORDERS[int(rows['x'][0])], names := {**globals(), 'answer': answer})
    return names['answer']
"""

MakeEngine = Callable[..., ChildEngine]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[MakeEngine]:
    made: list[ChildEngine] = []

    def start_one(script: str, *, timeout: float = 20.0) -> ChildEngine:
        folder = tmp_path / f"code{len(made)}"
        folder.mkdir()
        (folder / "score.py").write_text(HEAD + LINK + script)
        packed = pack_script(folder, "score.py")
        spec = EngineSpec("a", ScriptSpec(packed.code, "score.py", work_folder=str(tmp_path)))
        made.append(ChildEngine(spec, ChildSpec(timeout=timeout, load_timeout=20.0)))
        return made[-1]

    yield start_one
    for engine in made:
        engine.close()


def ordering(*orders: str) -> str:
    """Write a script that runs one of the orders in each call."""
    return f"ORDERS = {list(orders)!r}\n{BY_NUMBER}"


def score(engine: ChildEngine, *values: int) -> Outcome:
    return engine.score(MiniBatch("0-0", ("/in/a",), pa.table({"x": list(values)})), RESULT, AT)


def scored(outcome: Outcome) -> list[int]:
    assert outcome.failure is None, outcome.failure
    assert outcome.table is not None
    values: list[int] = outcome.table.column("y").to_pylist()
    return values


FORKS = {
    "returns twice": "os.fork()",
    "four of them": "os.fork()\nos.fork()",
    "without Python's hooks": "ctypes.CDLL(None).fork()",
    "the copy raises": "if not os.fork():\n    raise ValueError('copy')",
    "the copy exits": "if not os.fork():\n    sys.exit(3)",
    "the copy is late": "if not os.fork():\n    time.sleep(0.3)",
    "in a thread": "t = threading.Thread(target=os.fork)\nt.start()\nt.join()",
    "a pool": "import multiprocessing\nwith multiprocessing.get_context('fork').Pool(2) as pool:\n"
    "    assert pool.map(abs, [-1, 2]) == [1, 2]",
    "a pool of futures": "from concurrent.futures import ProcessPoolExecutor\n"
    "with ProcessPoolExecutor(2) as pool:\n    assert list(pool.map(abs, [-1, 2])) == [1, 2]",
    "os.getpid replaced": "os.getpid = lambda: 1\nctypes.CDLL(None).fork()",
}


def test_a_copy_of_the_process_answers_nothing(start: MakeEngine) -> None:
    engine = start(ordering(*FORKS.values()))
    assert engine.load().failure is None

    for number, name in enumerate(FORKS):
        for n in range(5):
            assert scored(score(engine, number, n, n + 1)) == [number * 10, n * 10, n * 10 + 10], name


@pytest.mark.parametrize("place", ["at import", "in init()"])
@pytest.mark.parametrize("then", ["pass", "sys.exit(0)"])
def test_a_copy_made_while_loading_neither_answers_nor_removes_the_work_folder(
    start: MakeEngine, place: str, then: str
) -> None:
    fork = f"if not os.fork():\n    {then}\n"
    lines = "".join(f"    {line}\n" for line in fork.splitlines())
    engine = start((fork if place == "at import" else f"def init():\n{lines}") + "here = os.getcwd()\n" + RUN)
    assert engine.load().failure is None
    time.sleep(0.3)

    assert scored(score(engine, 1, 2)) == [10, 20]
    assert scored(score(engine, 3)) == [30]


def test_the_end_of_a_child_whose_copy_goes_on_is_seen_at_once(start: MakeEngine) -> None:
    for fork in ("os.fork()", "ctypes.CDLL(None).fork()"):
        engine = start(f"def run(rows):\n    if {fork}:\n        os._exit(7)\n    os.setsid()\n    time.sleep(3)\n")
        assert engine.load().failure is None
        began = time.monotonic()

        failure = score(engine, 1).failure

        assert failure is not None
        assert (failure.code, time.monotonic() - began < 2) == ("PROCESS_ENDED", True)
        assert "exit code 7" in failure.message


def test_a_daemon_that_keeps_all_descriptors_is_not_waited_for(start: MakeEngine) -> None:
    keep = f"[os.set_inheritable(n, True) for n in {SOCKETS}]"
    daemon = "import subprocess; subprocess.Popen(['sleep', '3'], close_fds=False, start_new_session=True)"
    engine = start(f"def run(rows):\n    {keep}\n    {daemon}\n    os._exit(7)\n")
    assert engine.load().failure is None
    began = time.monotonic()

    failure = score(engine, 1).failure

    assert failure is not None
    assert (failure.code, time.monotonic() - began < 2) == ("PROCESS_ENDED", True)


def test_a_child_that_becomes_another_program_is_not_waited_for(start: MakeEngine) -> None:
    engine = start("def run(rows):\n    os.execv('/bin/sleep', ['sleep', '10'])\n")
    assert engine.load().failure is None
    began = time.monotonic()

    failure = score(engine, 1).failure

    assert failure is not None
    assert (failure.code, time.monotonic() - began < 5) == ("PROCESS_ENDED", True)


BREAKS = {
    "garbage before the answer": f"for n in {SOCKETS}: os.write(n, b'garbage' * 100)",
    "a little garbage": f"for n in {SOCKETS}: os.write(n, b'x')",
    "an answer that was sent before": f"for n in {SOCKETS}: os.write(n, b'\\0' * 64)",
    "all descriptors closed": "os.closerange(0, 4096)",
    "all but the standard ones closed": "os.closerange(3, 4096)",
    "the connection closed": f"for n in {SOCKETS}: os.close(n)",
    "another socket in its place": f"n = {SOCKETS}; s = socket.socketpair(); [os.dup2(s[0].fileno(), i) for i in n]",
    "a file in its place": f"f = open('x', 'w'); [os.dup2(f.fileno(), n) for n in {SOCKETS}]",
}


def test_a_script_that_breaks_its_connection_is_told_by_name_at_once(start: MakeEngine) -> None:
    engine = start(ordering(*BREAKS.values()))
    assert engine.load().failure is None

    for number, name in enumerate(BREAKS):
        began = time.monotonic()
        outcome = score(engine, number, 2)
        seconds = time.monotonic() - began

        assert (outcome.scored, outcome.table, engine.is_loaded) == (0, None, False), name
        assert outcome.failure is not None
        assert (outcome.failure.code, seconds < 5) == ("PROCESS_BROKEN", True), name
        assert engine.load().failure is None


HARMLESS = {
    "streams, signals, numbers and rights": {
        "standard output closed": "os.close(1)",
        "all standard ones closed": "os.closerange(0, 3)",
        "no sys.stdout": "sys.stdout = sys.stderr = sys.stdin = None",
        "an alarm that comes never": "signal.alarm(1000)",
        "signals ignored": "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 3, 14, 15)]",
        "an open file limit of its own": "global kept; kept = [open('/dev/null') for _ in range(200)]",
        "few digits": "import decimal; decimal.getcontext().prec = 1",
        "NumPy raises": "import numpy; numpy.seterr(all='raise')",
        "umask": "os.umask(0o777)",
        "a thread that does not end": "threading.Thread(target=time.sleep, args=(30,)).start()",
    },
    "modules cleared": {"": "sys.modules.clear()"},
    "pandas forgotten": {"": "[sys.modules.pop(n) for n in list(sys.modules) if n.startswith(('pandas', 'pyarrow'))]"},
    "len() replaced": {"": "import builtins; builtins.len = lambda _: 0"},
    "isinstance() replaced": {"": "import builtins; builtins.isinstance = lambda *_: True"},
    "print() removed": {"": "import builtins; del builtins.print"},
    "descriptors used up": {"": "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))"},
    "recursion": {"": "sys.setrecursionlimit(150)"},
}


@pytest.mark.parametrize("orders", HARMLESS.values(), ids=HARMLESS)
def test_what_a_script_does_to_its_process_changes_no_value(start: MakeEngine, orders: dict[str, str]) -> None:
    engine = start(ordering(*orders.values()))
    assert engine.load().failure is None

    for number, name in enumerate(orders):
        assert scored(score(engine, number, 2)) == [number * 10, 20], name


ODD = """
class S(str):
    def encode(self, *a, **k):
        return self
class E(Exception):
    def __str__(self):
        return S('odd')
"""
FAILS = {
    "exception without a text": ("class E(Exception):\n    def __str__(self):\n        1/0\n", "raise E()", "E"),
    "exits in its text": ("class E(Exception):\n    def __str__(self):\n        sys.exit(3)\n", "raise E()", "E"),
    "odd text": (ODD, "raise E()", "E"),
    "not picklable": ("class E(Exception):\n    lock = threading.Lock()\n", "raise E(threading.Lock())", "E"),
    "a base exception": ("class E(BaseException):\n    pass\n", "raise E('x')", "E"),
    "GeneratorExit": ("", "raise GeneratorExit", "GeneratorExit"),
    "an interrupt": ("", "os.kill(os.getpid(), signal.SIGINT); time.sleep(1)", "KeyboardInterrupt"),
    "a huge text": ("", "raise ValueError('x' * 50_000_000)", "ValueError"),
    "a group": ("", "raise BaseExceptionGroup('g', [KeyboardInterrupt(), ValueError()])", "BaseExceptionGroup"),
    "recursion": ("def deep():\n    deep()\n", "deep()", "RecursionError"),
    "a wrong cause": ("", "raise ValueError('a') from SystemExit(3)", "ValueError"),
    "an alarm": ("", "signal.signal(14, lambda *_: 1/0); signal.alarm(1); time.sleep(5)", "ZeroDivisionError"),
}


def test_whatever_a_script_raises_fails_its_mini_batch_by_name(start: MakeEngine) -> None:
    engine = start(ordering("", *(head + order for head, order, _ in FAILS.values())))
    assert engine.load().failure is None

    for number, (case, (_, _, name)) in enumerate(FAILS.items(), start=1):
        failure = score(engine, number).failure

        assert failure is not None, case
        assert (failure.code, failure.error_class) == ("SCRIPT_RUN", name), case
        assert scored(score(engine, 0)) == [0], case


RETURNS = {
    "raises when it is read": "class R:\n    def __getattribute__(self, n):\n        raise ValueError(n)\n",
    "exits when it is read": "class R(list):\n    def __iter__(self):\n        sys.exit(3)\n    __len__ = __iter__\n",
    "interrupts": "class R(list):\n    def __len__(self):\n        raise KeyboardInterrupt\n    __iter__ = __len__\n",
    "too deep": "def R():\n    r = []\n    for _ in range(100000):\n        r = [r]\n    return r\n",
}


def test_what_cannot_be_read_fails_its_mini_batch_by_name(start: MakeEngine) -> None:
    engine = start(ordering("", *(f"{source}answer = R()" for source in RETURNS.values())))
    assert engine.load().failure is None

    for number, case in enumerate(RETURNS, start=1):
        failure = score(engine, number).failure

        assert failure is not None, case
        assert failure.code.startswith(("OUTPUT_", "SCRIPT_", "PROCESS_ENDED")), case
        assert engine.is_loaded or engine.load().failure is None
        assert scored(score(engine, 0)) == [0], case


def test_a_folder_that_a_script_went_to_and_removed_is_named(start: MakeEngine) -> None:
    order = "import tempfile\n    d = tempfile.mkdtemp()\n    os.chdir(d)\n    os.rmdir(d)\n"
    engine = start(f"def run(rows):\n    {order}    return [1] * len(rows)\n")
    assert engine.load().failure is None
    first, second = score(engine, 1), score(engine, 2)

    assert scored(first) == [1]
    assert second.failure is not None
    assert second.failure.code == "SCRIPT_FOLDER"


DEATHS = {
    "os._exit(3)": "exit code 3",
    "os.kill(os.getpid(), signal.SIGKILL)": "SIGKILL",
    "signal.alarm(1); time.sleep(5)": "SIGALRM",
    "import resource; resource.setrlimit(resource.RLIMIT_CPU, (0, 1))\nwhile True: pass": "SIGXCPU",
}


@pytest.mark.parametrize(("order", "how"), DEATHS.items())
def test_a_death_at_import_is_told(start: MakeEngine, order: str, how: str) -> None:
    failure = start(f"{order}\n{RUN}").load().failure

    assert failure is not None
    assert (failure.code, how in failure.message) == ("LOAD_PROCESS_ENDED", True)


def test_a_process_that_stops_itself_is_ended_at_its_timeout(start: MakeEngine) -> None:
    engine = start("def run(rows):\n    os.kill(os.getpid(), signal.SIGSTOP)\n", timeout=5.0)
    assert engine.load().failure is None

    failure = score(engine, 1).failure

    assert failure is not None
    assert failure.code == "MINI_BATCH_TIMEOUT"
    assert "score.py" in failure.traceback_text


def test_modules_in_the_working_directory_are_not_the_childs(
    start: MakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "typing", "pandas", "os", "socket"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)

    engine = start(RUN)

    assert engine.load().failure is None
    assert os.getcwd() == str(tmp_path)  # noqa: PTH109 - the other half of what is tested
    assert scored(score(engine, 1)) == [10]
