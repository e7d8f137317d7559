"""What every engine does. A new implementation joins with one entry in `IMPLEMENTATIONS`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure, Outcome
from sparkscore.scorers import ScriptSpec
from sparkscore.scorers.environment import EnvironmentSpec
from sparkscore.scripts.packing import pack_script
from sparkscore.signature import parse_ddl
from sparkscore.stage.dictionaries import decode
from sparkscore.worker import ChildSpec, EngineSpec, LineageValues, ResultSpec
from sparkscore.worker.child import supervisor as child_module
from sparkscore.worker.child.supervisor import ChildEngine
from sparkscore.worker.engine import Engine, LocalEngine

AT = datetime(2026, 1, 1, tzinfo=UTC)
RESULT = ResultSpec(parse_ddl("pid bigint"), ("x",), (), LineageValues("run", None, None))
SCRIPT = """
import ctypes, os, signal, sys, time
from pathlib import Path

def init():
    {init}

def run(rows):
    order = rows["order"].iloc[0] if "order" in rows else ""
    exec(order)
    return [os.getpid()] * len(rows)

def shutdown():
    Path({place!r}).write_text("over")
"""

Make = Callable[..., Engine]
IMPLEMENTATIONS: dict[str, Callable[[EngineSpec, ChildSpec], Engine]] = {
    "in this process": lambda spec, _: LocalEngine(spec),
    "in a child": ChildEngine,
    "in a child with another interpreter": lambda spec, child: ChildEngine(
        spec, ChildSpec(python=sys.executable, timeout=child.timeout, load_timeout=child.load_timeout)
    ),
}


@pytest.fixture(scope="module", autouse=True)
def _no_template_waits() -> Iterator[None]:
    yield
    child_module.templates.stop()


@pytest.fixture
def make_spec(tmp_path: Path) -> Callable[..., EngineSpec]:
    def make(
        init: str = "pass", environment: EnvironmentSpec | None = None, variables: tuple[tuple[str, str], ...] = ()
    ) -> EngineSpec:
        (tmp_path / "code").mkdir()
        (tmp_path / "code" / "score.py").write_text(SCRIPT.format(init=init, place=str(tmp_path / "over")))
        scorer = ScriptSpec(pack_script(tmp_path / "code", "score.py").code, "score.py", work_folder=str(tmp_path))
        return EngineSpec("a", scorer, environment, variables=variables)

    return make


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def implementation(request: pytest.FixtureRequest) -> Callable[[EngineSpec, ChildSpec], Engine]:
    """One after the other: a worker keeps the template of one interpreter."""
    return IMPLEMENTATIONS[request.param]


@pytest.fixture
def make(
    implementation: Callable[[EngineSpec, ChildSpec], Engine], make_spec: Callable[..., EngineSpec]
) -> Iterator[Make]:
    made: list[Engine] = []

    def make_one(*arguments: object, **limits: float) -> Engine:
        made.append(implementation(make_spec(*arguments), ChildSpec(**limits)))  # type: ignore[arg-type]
        return made[-1]

    yield make_one
    for engine in made:
        engine.close()


def batch(*orders: str) -> MiniBatch:
    return MiniBatch("0-0", ("/in/a.parquet",), pa.table({"x": range(len(orders)), "order": orders}))


def score(engine: Engine, *orders: str) -> Outcome:
    return engine.score(batch(*orders), RESULT, AT)


def test_rows_go_in_and_typed_rows_with_lineage_come_out(make: Make) -> None:
    engine = make()

    assert not engine.is_loaded
    assert engine.load().failure is None
    outcome = score(engine, "", "")

    assert (outcome.items, outcome.scored, outcome.failure) == (2, 2, None)
    assert outcome.table is not None
    assert outcome.table.column("x").to_pylist() == [0, 1]
    assert decode(outcome.table).schema == RESULT.schema(pa.schema([("x", pa.int64())]))
    assert outcome.table.column("source_file").to_pylist() == ["/in/a.parquet"] * 2


def test_the_state_of_the_script_lasts_from_mini_batch_to_mini_batch(make: Make) -> None:
    engine = make()
    engine.load()
    score(engine, "os.environ['SEEN'] = 'yes'")

    assert score(engine, "assert os.environ['SEEN'] == 'yes'").failure is None


def test_rows_that_the_script_keeps_stay_as_they_are(make: Make) -> None:
    engine = make()
    engine.load()
    keep = "globals().setdefault('kept', []).append(rows)"
    check = "kept = [r for r in globals()['kept']]; assert [(r['x'][0], r['list'][0].tolist()) for r in kept] == "

    for number, order in enumerate([keep, keep, check + "[(0, [0, 5]), (1, [1, 5])]"]):
        rows = pa.table({"x": [number], "list": [[number, 5]], "order": [order]})
        outcome = engine.score(MiniBatch("0-0", (), rows), RESULT, AT)

        assert outcome.failure is None
        assert outcome.table is not None
        assert outcome.table.column("x").to_pylist() == [number]


def test_variables_are_set_while_the_model_is_loaded(make: Make) -> None:
    engine = make("assert os.environ['COLOUR'] == 'red'", None, (("COLOUR", "red"),))
    before = os.environ.get("COLOUR")

    assert engine.load().failure is None
    assert score(engine, "assert os.environ['COLOUR'] == 'red'").failure is None
    engine.close()

    assert os.environ.get("COLOUR") == before


def test_a_slice_brings_its_own_rows_and_no_others(make: Make) -> None:
    engine = make()
    engine.load()
    table = pa.table({"x": range(100_000), "order": [""] * 100_000})

    outcome = engine.score(MiniBatch("0-0", (), table.slice(70_000, 3)), RESULT, AT)

    assert outcome.table is not None
    assert outcome.table.column("x").to_pylist() == [70_000, 70_001, 70_002]


RETURNED = {
    "[1, None]": 2,
    "[{'pid': 1, 'other': 'x'}, {'pid': 2}]": 0,
    "[{'pid': 1}, {'pid': 2}]": 2,
    "[(1,), [2]]": 0,
    "[(1,), (2,)]": 2,
    "[1]": 1,
    "[1, 2, 3]": 2,
    "[]": 0,
    "['a', 'b']": 0,
    "[1.5, 2]": 0,
    "[2**63, 1]": 0,
    "(n for n in [1, 2])": 2,
    "np.array([1, 2])": 2,
    "[np.int64(1), True]": 0,
    "pd.DataFrame({'pid': [1, 2]})": 2,
    "pa.table({'pid': [1, 2]})": 2,
    "{'pid': [1, 2]}": 0,
    "None": 0,
}


def test_of_files_the_outcome_is_the_same_as_in_this_process(
    implementation: Callable[[EngineSpec, ChildSpec], Engine], tmp_path: Path
) -> None:
    (tmp_path / "score.py").write_text(
        "import numpy as np\nimport pandas as pd\nimport pyarrow as pa\ndef run(files): return eval(files[0])"
    )
    scorer = ScriptSpec(pack_script(tmp_path, "score.py").code, "score.py", work_folder=str(tmp_path))
    local, engine = LocalEngine(EngineSpec("b", scorer)), implementation(EngineSpec("b", scorer), ChildSpec())
    result = replace(RESULT, carried=())
    for each in (engine, local):
        assert each.load().failure is None

    for number, (order, scored) in enumerate([("[1, 2]", 2), *RETURNED.items()]):
        mini_batch = MiniBatch(f"0-{number}", (order, "/é"), input_position=str(number))
        found, expected = (each.score(mini_batch, result, AT) for each in (engine, local))

        assert replace(found, table=None) == replace(expected, table=None)
        assert (order, found.scored) == (order, scored)
        assert (found.table is None) == (expected.table is None)
        if found.table is not None and expected.table is not None:
            assert found.table.equals(expected.table, check_metadata=True)
    for each in (engine, local):
        each.close()


@pytest.mark.parametrize("order", ["raise ValueError('é')", "sys.exit(3)", "raise KeyboardInterrupt('é')"])
def test_what_the_script_raises_fails_its_mini_batch_alone(make: Make, order: str) -> None:
    engine = make()
    engine.load()

    failed = score(engine, order, "")
    after = score(engine, "")

    assert (failed.items, failed.scored, failed.table) == (2, 0, None)
    assert failed.failure is not None
    assert failed.failure.code == "SCRIPT_RUN"
    assert (after.scored, engine.is_loaded) == (1, True)


@pytest.mark.parametrize(
    "order",
    ["os.fork()", "if not os.fork(): raise ValueError", "if not os.fork(): sys.exit(3)", "ctypes.CDLL(None).fork()"],
)
def test_a_copy_that_the_script_forks_is_no_second_scorer(make: Make, order: str) -> None:
    engine = make(order)
    assert engine.load().failure is None

    assert [score(engine, order, "").scored for _ in range(3)] == [2, 2, 2]
    time.sleep(0.1)
    assert score(engine, "").scored == 1


def test_built_in_functions_that_the_script_replaces_are_its_own(make: Make) -> None:
    engine = make()
    engine.load()

    first = score(engine, "import builtins; builtins.ascii = len; builtins.mine = 1", "")
    second = score(engine, "assert mine == 1 and ascii('ab') == 2", "")

    assert (first.scored, first.failure, second.failure, ascii("ab")) == (2, None, None, "'ab'")


def test_an_init_that_raises_is_told(make: Make) -> None:
    engine = make("raise OSError('no weights')")

    failure = engine.load().failure

    assert failure is not None
    assert (failure.code, failure.error_class, failure.message) == ("SCRIPT_INIT", "OSError", "no weights")
    assert not engine.is_loaded


def test_a_probe_gives_the_columns_alone(make: Make) -> None:
    engine = make()
    engine.load()

    probed = engine.probe(batch("", ""), None)
    failed = engine.probe(batch("1 / 0"), None)

    assert (probed.predictions, probed.is_frame) == (pa.schema([("prediction", pa.int64())]), False)
    assert failed.failure is not None
    assert (failed.predictions, failed.failure.error_class) == (None, "ZeroDivisionError")


def test_the_script_is_told_when_it_is_over(make: Make, tmp_path: Path) -> None:
    engine = make()
    engine.load()
    score(engine, "")

    engine.close()

    assert (tmp_path / "over").read_text() == "over"


@pytest.mark.parametrize("order", ["raise KeyboardInterrupt", "sys.exit(3)", "1 / 0"])
def test_whatever_a_shutdown_raises_is_the_scripts_own(make: Make, order: str) -> None:
    engine = make(f"def raises(): {order}\n    globals()['shutdown'] = raises")
    engine.load()
    assert score(engine, "").scored == 1

    engine.close()

    assert not engine.is_loaded


def test_other_packages_than_those_asked_for_are_told(make: Make) -> None:
    asked = EnvironmentSpec("'req.txt'", ("numpy==0.1", "nothing-of-that-name>=2", "pandas>=2"), "2.7")
    engine = make("pass", asked)

    (warning,) = engine.load().warnings

    assert warning.startswith("the workers differ from 'req.txt': Python 3.")
    assert "numpy" in warning
    assert "instead of ==0.1; nothing-of-that-name is missing (>=2)" in warning
    assert "pandas" not in warning
    assert engine.is_loaded


def test_other_packages_are_refused_where_the_deployment_is_strict(make: Make) -> None:
    engine = make("pass", EnvironmentSpec("'req.txt'", ("numpy==0.1",), is_strict=True))

    failure = engine.load().failure

    assert failure is not None
    assert failure.code == "ENVIRONMENT_MISMATCH"
    assert "instead of ==0.1" in failure.message


# ------------------------------------------------------------------------------------------------- children alone


@pytest.fixture
def child(make_spec: Callable[..., EngineSpec]) -> Iterator[ChildEngine]:
    engine = ChildEngine(make_spec(), ChildSpec(timeout=1.0, load_timeout=30.0))
    assert engine.load().failure is None
    yield engine
    engine.close()


def pid_of(engine: Engine) -> int:
    table = score(engine, "").table
    assert table is not None
    return int(table.column("pid")[0].as_py())


def is_alive(pid: int) -> bool:
    try:
        # A zombie is no living process.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before or while it was read
        return False


def wait_until_gone(pid: int, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while is_alive(pid):
        assert time.monotonic() < end, f"process {pid} is still there"
        time.sleep(0.02)


HANGS = {
    "sleep": "time.sleep(60)",
    "loop": "while True: pass",
    "native, with the interpreter's lock": "ctypes.PyDLL(None).sleep(60)",
    "native, without it": "ctypes.CDLL(None).sleep(60)",
    "signals ignored": "[signal.signal(s, signal.SIG_IGN) for s in (2, 14, 15)]; ctypes.PyDLL(None).sleep(60)",
}


@pytest.mark.parametrize("order", HANGS.values(), ids=HANGS)
def test_a_hang_is_ended_at_its_timeout_and_says_where_it_was(child: ChildEngine, order: str) -> None:
    pid, start = pid_of(child), time.monotonic()

    outcome = score(child, order, "")

    assert 0.9 < time.monotonic() - start < 3
    assert (outcome.items, outcome.scored) == (2, 0)
    failure = outcome.failure
    assert failure is not None
    assert (failure.code, failure.message) == ("MINI_BATCH_TIMEOUT", "the mini-batch took longer than 1 s")
    assert "score.py" in failure.traceback_text
    assert not is_alive(pid)
    assert not child.is_loaded


DEATHS = {
    "exit code 7": "os._exit(7)",
    "SIGKILL": "os.kill(os.getpid(), 9)",
    "SIGSEGV": "ctypes.string_at(0)",
    "SIGABRT": "os.abort()",
}


@pytest.mark.parametrize(("how", "order"), DEATHS.items(), ids=DEATHS)
def test_a_death_fails_its_mini_batch_and_a_new_process_scores_the_next(
    child: ChildEngine, how: str, order: str
) -> None:
    outcome = score(child, order)

    failure = outcome.failure
    assert failure is not None
    assert failure.code == "PROCESS_ENDED"
    assert how in failure.message
    assert ("memory" in failure.message) is (how == "SIGKILL")
    assert ("memory" in failure.next_step) is (how == "SIGKILL")
    assert ("exit code" in failure.next_step) is (how == "exit code 7")
    assert ("score.py" in failure.traceback_text) is (how in {"SIGSEGV", "SIGABRT"})
    assert child.load().failure is None
    assert score(child, "").scored == 1


def template_of_this_process() -> int:
    template = child_module.templates._current
    assert template is not None
    return template._process.pid


def test_each_run_has_a_child_that_has_run_no_other_code(make_spec: Callable[..., EngineSpec]) -> None:
    spec = make_spec()
    pids, templates = [], []
    for kills in (False, False, True, False):
        engine = ChildEngine(spec, ChildSpec(load_timeout=30.0))
        assert engine.load().failure is None
        pids.append(pid_of(engine))
        engine.close()
        assert not is_alive(pids[-1])
        templates.append(template_of_this_process())
        if kills:
            os.kill(templates[-1], signal.SIGKILL)
            wait_until_gone(templates[-1])

    assert len({*pids, *templates}) == 6
    assert templates[0] == templates[1] == templates[2] != templates[3]


def test_what_a_script_changes_in_its_process_is_not_in_the_next_runs(make_spec: Callable[..., EngineSpec]) -> None:
    spec = make_spec()
    change = (
        "import decimal, pandas as pd; pd.DataFrame.sum = None; decimal.getcontext().prec = 3; os.umask(0);"
        "signal.signal(signal.SIGUSR1, signal.SIG_IGN); os.environ['LEFT'] = '1'; os.chdir('/'); sys.path.append('/x')"
    )
    check = (
        "import decimal, pandas as pd; assert pd.DataFrame.sum is not None; assert decimal.getcontext().prec == 28;"
        "assert os.umask(0o22) == 0o22; assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL;"
        "assert 'LEFT' not in os.environ and '/x' not in sys.path"
    )
    for order in (change, check):
        engine = ChildEngine(spec, ChildSpec(load_timeout=30.0))
        assert engine.load().failure is None
        assert score(engine, order).failure is None
        engine.close()


def test_another_interpreter_does_not_find_the_workers_modules(
    make_spec: Callable[..., EngineSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "of_the_worker.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    spec, failures = make_spec(), []
    for child in (ChildSpec(load_timeout=30.0), ChildSpec(python=sys.executable, load_timeout=30.0)):
        engine = ChildEngine(spec, child)
        assert engine.load().failure is None
        failures.append(score(engine, "import of_the_worker").failure)
        engine.close()

    own, other = failures
    assert own is None
    assert other is not None
    assert "of_the_worker" in other.message


def test_children_draw_different_numbers(make_spec: Callable[..., EngineSpec]) -> None:
    spec = make_spec()
    drawn = []
    for number in range(2):
        engine = ChildEngine(spec, ChildSpec(load_timeout=30.0))
        engine.load()
        place = Path(spec.scorer.work_folder) / str(number)  # type: ignore[union-attr]
        outcome = score(
            engine,
            f"import numpy, random; Path({str(place)!r}).write_text(f'{{numpy.random.rand()}} {{random.random()}}')",
        )
        assert outcome.failure is None
        drawn += place.read_text().split()
        engine.close()

    assert len(set(drawn)) == 4


def test_another_environment_of_the_worker_is_the_childs_too(
    make_spec: Callable[..., EngineSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec()
    for value in ("a", "b"):
        monkeypatch.setenv("OF_THE_WORKER", value)
        engine = ChildEngine(spec, ChildSpec(load_timeout=30.0))
        assert engine.load().failure is None
        assert score(engine, f"assert os.environ['OF_THE_WORKER'] == {value!r}").failure is None
        engine.close()


def test_what_the_child_started_goes_with_it(child: ChildEngine) -> None:
    order = "import subprocess; p = subprocess.Popen(['sleep', '60']); Path('pid').write_text(str(p.pid)); {}"
    place = "Path('pid').rename({!r})"
    target = Path(child._spec.scorer.work_folder) / "pid"  # type: ignore[union-attr]
    score(child, order.format(place.format(str(target)) + "; time.sleep(60)"))

    wait_until_gone(int(target.read_text()))


def test_the_child_dies_with_its_worker(make_spec: Callable[..., EngineSpec]) -> None:
    spec = make_spec()
    ours, theirs = os.pipe()
    worker = os.fork()
    if not worker:
        engine = ChildEngine(spec, ChildSpec())
        engine.load()
        os.write(theirs, str(pid_of(engine)).encode())
        time.sleep(60)
    pid = int(os.read(ours, 20))
    assert is_alive(pid)

    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)

    wait_until_gone(pid, 2)


def failure_of_loading(spec: EngineSpec, child: ChildSpec) -> Failure:
    engine = ChildEngine(spec, child)
    failure = engine.load().failure
    assert failure is not None
    assert not engine.is_loaded
    return failure


@pytest.mark.parametrize(
    ("init", "seconds", "code"), [("time.sleep(60)", 3, "LOAD_TIMEOUT"), ("os._exit(1)", 60, "LOAD_PROCESS_ENDED")]
)
def test_an_init_that_hangs_or_ends_the_process_is_told(
    make_spec: Callable[..., EngineSpec], init: str, seconds: float, code: str
) -> None:
    assert failure_of_loading(make_spec(init), ChildSpec(load_timeout=seconds)).code == code


def test_an_interpreter_that_is_not_there_is_told(make_spec: Callable[..., EngineSpec]) -> None:
    failure = failure_of_loading(make_spec(), ChildSpec(python="/nowhere/bin/python"))

    assert failure.code == "PYTHON_NOT_FOUND"
    assert "/nowhere/bin/python" in failure.message


def test_an_interpreter_without_what_sparkscore_needs_is_told(
    make_spec: Callable[..., EngineSpec], tmp_path: Path
) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{Path(sys.executable).resolve()}" -S "$@"\n')
    bare.chmod(0o755)

    failure = failure_of_loading(make_spec(), ChildSpec(python=str(bare)))

    assert failure.code == "PYTHON_PACKAGES"
    assert "No module named" in failure.message


def test_where_no_process_can_start_the_worker_itself_scores_and_says_so(
    make_spec: Callable[..., EngineSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    child_module.templates.stop()
    monkeypatch.setattr("subprocess.Popen", refuse)
    engine = ChildEngine(make_spec(), ChildSpec())

    (warning,) = engine.load().warnings

    assert "cannot start processes (Operation not permitted)" in warning
    assert pid_of(engine) == os.getpid()
    engine.close()


def test_rows_that_were_sorted_in_place_are_refused_where_the_frame_is(make: Make) -> None:
    engine = make()
    engine.load()

    outcome = score(engine, "rows.sort_values('x', ascending=False, inplace=True, ignore_index=True)", "pass", "pass")

    assert outcome.failure is not None
    assert outcome.failure.code == "OUTPUT_ORDER"
