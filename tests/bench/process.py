"""A side's process as the harness sees it: one line in, one line out, with a deadline."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tests.bench.cases import Case
from tests.bench.predictor import LOADS
from tests.bench.registry import ROOT, SIDES

START_S: Final = 300
RUN_S: Final = 300
_STOP_S: Final = 30
# Peers would report their use to someone.
QUIET: Final = {
    "DAFT_ANALYTICS_ENABLED": "0",
    "DO_NOT_TRACK": "1",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RUST_LOG": "error",
    "SPARK_LOCAL_IP": "127.0.0.1",
}
# For short runs whose times do not count: compiling well and collecting beside the program take longer than they save.
SHORT_JVMS: Final = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC"}
# Whoever develops may set these. Without bytecode, each process would compile sparkscore, which users have installed.
_NOT_A_USERS: Final = {"SPARK_HOME", "PYSPARK_PYTHON", "PYTHONDONTWRITEBYTECODE"}


class SideError(Exception):
    """A side failed, died, or took too long; the text says which."""


def environment_of(name: str, folder: Path) -> dict[str, str]:
    """Return the environment variables of a side whose files are in a folder."""
    python = str(SIDES[name].python)
    kept = {key: value for key, value in os.environ.items() if key not in _NOT_A_USERS}
    own = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "PYSPARK_DRIVER_PYTHON": python,
        "PYSPARK_PYTHON": python,
        "PYTHONPATH": str(ROOT),
        "SPARKSCORE_BENCH_FOLDER": str(folder),
        "SPARKSCORE_RUNS": str(folder / "runs"),
        "SPARK_LOCAL_DIRS": str(folder / "spark"),
        LOADS: str(folder / "loads"),
    }
    return {**kept, **QUIET, **own}


def make_folder(folder: Path) -> None:
    """Make the folder of a side, and those in it that its processes expect."""
    for made in (folder, folder / "loads", folder / "out"):
        made.mkdir(parents=True, exist_ok=True)


class SideProcess:
    """The process of one side. Its log is in the folder."""

    def __init__(self, name: str, case: Case, folder: Path) -> None:
        self.name, self.folder = name, folder
        self._turned_to = (name, case)
        make_folder(folder)
        with (folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                [str(SIDES[name].python), "-m", "tests.bench.side", name],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT,
                env=environment_of(name, folder), start_new_session=True,
            )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._send(case.to_json())

    @property
    def pid(self) -> int:
        """The process id of the side's driver."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the side's driver runs."""
        return self._process.poll() is None

    def wait_until_ready(self) -> None:
        """Wait until the engine has started.

        Raises:
            SideError: it did not start.
        """
        self._answer(START_S)

    def run(self, source: str, output: Path) -> dict[str, Any]:
        """Let the side score an input, and return its seconds and facts.

        Raises:
            SideError: the side raised an error, died, or took too long.
        """
        self._send(json.dumps({"source": source, "output": str(output)}))
        answer = self._answer(RUN_S)
        if "error" in answer:
            raise SideError(answer["error"])
        return answer

    def turn_to(self, case: Case, name: str) -> None:
        """Let the engine take another case, as another of its sides.

        Raises:
            SideError: the side raised an error, died, or took too long.
        """
        if self._turned_to == (name, case):
            return
        self._send(json.dumps({"turn_to": name, "case": case.to_json()}))
        answer = self._answer(RUN_S)
        if "error" in answer:
            raise SideError(answer["error"])
        self._turned_to = (name, case)

    def ask_to_end(self) -> None:
        """Let the side end by itself, without waiting."""
        with suppress(OSError):
            self._stdin.close()

    def stop(self) -> None:
        """End the side and what it started."""
        self.ask_to_end()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
        self._kill()
        self._stdout.close()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _send(self, line: str) -> None:
        try:
            self._stdin.write(line + "\n")
            self._stdin.flush()
        except OSError as error:
            raise SideError("the process died") from error

    def _answer(self, seconds: float) -> dict[str, Any]:
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                self._kill()  # a side that goes on would slow down all others
                raise SideError(f"no answer in {seconds} s")
        line = self._stdout.readline()
        if not line:
            raise SideError("the process died")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def running(names: list[str], case: Case, folder: Path) -> Iterator[tuple[dict[str, SideProcess], dict[str, str]]]:
    """Start the processes of some sides; give those that are ready by name, and the errors of the others."""
    processes: dict[str, SideProcess] = {}
    try:
        yield _begin(names, case, folder, processes)
    finally:
        _end(processes)


def _begin(
    names: Iterable[str], case: Case, folder: Path, processes: dict[str, SideProcess]
) -> tuple[dict[str, SideProcess], dict[str, str]]:
    """Start a process for each side, put it into a dictionary, and return those that are ready and all errors."""
    errors: dict[str, str] = {}
    for name in names:
        if SIDES[name].python.exists():
            processes[name] = SideProcess(name, case, folder / name)
        else:
            errors[name] = f"no environment {SIDES[name].environment}"
    for name in names:
        try:
            if name not in errors:
                processes[name].wait_until_ready()
        except SideError as error:
            errors[name] = str(error)
    return {name: processes[name] for name in names if name not in errors}, errors


def _end(processes: Mapping[str, SideProcess]) -> None:
    for process in processes.values():
        process.ask_to_end()
    for process in processes.values():
        process.stop()


class OneOfSeveral:
    """A side in the process of its engine, which it shares with other sides and with the workloads before."""

    def __init__(self, process: SideProcess, name: str, case: Case) -> None:
        self._process, self._case = process, case
        self.name, self.folder, self.pid = name, process.folder, process.pid

    def run(self, source: str, output: Path) -> dict[str, Any]:
        """Do the same as a `SideProcess`, after the engine has turned to this side and its case."""
        self._process.turn_to(self._case, self.name)
        return self._process.run(source, output)


class Engines:
    """Processes that stay for several workloads: one for each engine, so that a quick benchmark starts few of them.

    The first case that an engine gets decides whether its Spark has Delta.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, SideProcess] = {}

    def stop(self) -> None:
        """End all processes."""
        _end(self._processes)

    @contextmanager
    def running(
        self, names: list[str], case: Case, folder: Path
    ) -> Iterator[tuple[dict[str, OneOfSeveral], dict[str, str]]]:
        """Give the sides that are ready by name, and the errors of the others, as the function `running` does."""
        first_of = {name: self._first_of(name) for name in names}
        missing = [first for first in dict.fromkeys(first_of.values()) if not self._is_alive(first)]
        _, errors = _begin(missing, case, self._folder, self._processes)
        for name in names:
            make_folder(folder / name)
        yield (
            {name: OneOfSeveral(self._processes[first], name, case) for name, first in first_of.items()
             if first not in errors},
            {name: errors[first] for name, first in first_of.items() if first in errors},
        )  # fmt: skip

    def _is_alive(self, name: str) -> bool:
        return name in self._processes and self._processes[name].is_alive

    @staticmethod
    def _first_of(name: str) -> str:
        """Return the side in whose name the process of an engine runs."""
        engine = SIDES[name].module, SIDES[name].environment
        return next(each for each, kind in SIDES.items() if (kind.module, kind.environment) == engine)
