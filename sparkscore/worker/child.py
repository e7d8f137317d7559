"""Let a child process score, and survive whatever becomes of it: hang, crash, kill (worker).

Source: only another process can end a call that holds the interpreter's lock, and a segmentation fault ends its process
alone. The child dies with its worker.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from sparkscore.errors import EnvironmentMismatchError, MiniBatchTimeoutError, ScoringError, SparkscoreError
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure, Outcome, describe_failure, failed_outcome
from sparkscore.worker.engine import ChildSpec, EngineSpec, Loaded, LocalEngine, Probed
from sparkscore.worker.interpreter import find_interpreter
from sparkscore.worker.messages import Connection, ConnectionLostError
from sparkscore.worker.result import ResultSpec

TIMEOUT: Final = "MINI_BATCH_TIMEOUT"
ENDED: Final = "PROCESS_ENDED"
LOAD_TIMEOUT: Final = "LOAD_TIMEOUT"
LOAD_ENDED: Final = "LOAD_PROCESS_ENDED"

_BOOT: Final = (
    "import json, os, sys\n"
    "sys.path[:0] = json.loads(sys.argv[1])\n"
    "end, trace, worker = map(int, sys.argv[2:])\n"
    "try:\n"
    "    from sparkscore.worker.child_main import main\n"
    "except ImportError as error:\n"
    "    os.write(trace, str(error).encode())\n"
    "    sys.exit(3)\n"
    "main(end, trace, worker)"
)
_IMPORT_FAILED: Final = 3
_TRACE_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 5.0
_SHOWN_TRACE: Final = 20_000


class ChildEndedError(Exception):
    """The child is gone, or was killed because it took too long.

    Attributes:
        is_timeout: whether it took too long.
        code: its exit code, as `subprocess` has it; None where it had to be killed.
        trace: where its threads were, as far as that is known.
    """

    def __init__(self, code: int | None, trace: str, *, is_timeout: bool) -> None:
        super().__init__(code)
        self.code = code
        self.trace = trace
        self.is_timeout = is_timeout


class Child:
    """One child process, in a session of its own, so that what it starts is killed with it."""

    def __init__(self, python: str, only_path: str | None = None) -> None:
        """Start it.

        Args:
            python: its interpreter.
            only_path: where it finds this package; the worker's own path when None.
        """
        paths = sys.path if only_path is None else [only_path]
        ours, theirs = socket.socketpair()
        self._connection = Connection(ours)
        self._trace = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        inherited = theirs.fileno(), self._trace.fileno()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the deployment's own interpreter
                [python, "-c", _BOOT, json.dumps(paths), *map(str, inherited), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                pass_fds=inherited,
                start_new_session=True,
            )
        except OSError:
            self._close()
            raise
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def ask(self, request: tuple[Any, ...], timeout: float | None) -> Any:
        """Send a request and wait for the reply.

        Raises:
            ChildEndedError: the child ended, or was killed because it did not reply in time.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            self._connection.send(request, timeout)
            reply = self._connection.receive(None if deadline is None else max(deadline - time.monotonic(), 0.001))
        except TimeoutError:
            raise self._end(is_timeout=True) from None
        except ConnectionLostError:
            raise self._end(is_timeout=False) from None
        if isinstance(reply, BaseException):
            raise reply
        return reply

    def stop(self) -> None:
        """Let the child end by itself, then kill it."""
        self._connection.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        self._kill()
        self._close()

    def _end(self, *, is_timeout: bool) -> ChildEndedError:
        if is_timeout:
            # The handler of this signal writes where every thread is, also of one that holds the interpreter's lock.
            self._process.send_signal(signal.SIGABRT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_TRACE_SECONDS)
        code = self._process.poll()
        self._kill()
        self._trace.seek(0)
        trace = self._trace.read(_SHOWN_TRACE).decode(errors="backslashreplace")
        self._close()
        return ChildEndedError(code, trace, is_timeout=is_timeout)

    def _kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _close(self) -> None:
        self._connection.close()
        self._trace.close()


# A child that has ended its script and waits for the next: starting Python and importing pandas takes most of a second.
_waiting: list[Child] = []


def _take_waiting() -> Child | None:
    child = _waiting.pop() if _waiting else None
    if child is None or child.is_alive:
        return child
    child.stop()
    return None


def _end_script(child: Child, *, is_kept: bool) -> None:
    try:
        child.ask(("close",), _STOP_SECONDS)
    except ChildEndedError:
        return
    if is_kept and not _waiting:
        _waiting.append(child)
    else:
        child.stop()


class ChildEngine:
    """Scores in a child process, which is started anew after it has ended."""

    def __init__(self, spec: EngineSpec, child: ChildSpec) -> None:
        self._spec = spec
        self._child_spec = child
        self._child: Child | None = None
        self._local: LocalEngine | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether the child is there; no longer after a mini-batch that ended it."""
        return self._child is not None or self._local is not None

    def load(self) -> Loaded:
        """Start the child and load the scorer there; where no child can start, score in this process."""
        waited = bool(_waiting)
        try:
            self._child = self._start()
            loaded: Loaded = self._child.ask(("load", self._spec, self._paths()), self._child_spec.load_timeout)
        except SparkscoreError as error:
            return Loaded(describe_failure(error))
        except OSError as error:
            return self._load_here(error)
        except ChildEndedError as ended:
            self._child = None
            if waited and self._child_spec.is_own_python and not ended.is_timeout:
                # It may have died while it waited; a new one tells.
                return self.load()
            if not self._child_spec.is_own_python and ended.code == _IMPORT_FAILED:
                return Loaded(_lacks_package(ended))
            return Loaded(self._failure(ended, LOAD_TIMEOUT, LOAD_ENDED, "loading", self._child_spec.load_timeout))
        if loaded.failure is not None:
            self.close()
        return loaded

    def score(self, mini_batch: MiniBatch, spec: ResultSpec, scored_at: datetime) -> Outcome:
        """Let the child score one mini-batch."""
        if self._local is not None:
            return self._local.score(mini_batch, spec, scored_at)
        outcome: Outcome | Failure = self._ask(("score", mini_batch, spec, scored_at))
        return failed_outcome(mini_batch.item_count, outcome) if isinstance(outcome, Failure) else outcome

    def probe(self, mini_batch: MiniBatch, declared: pa.Schema | None) -> Probed:
        """Let the child score one mini-batch, for the shape of the result."""
        if self._local is not None:
            return self._local.probe(mini_batch, declared)
        probed: Probed | Failure = self._ask(("probe", mini_batch, declared))
        return Probed(failure=probed) if isinstance(probed, Failure) else probed

    def close(self) -> None:
        """Let the script end; the child of the worker's own interpreter waits for the next one."""
        if self._child is not None:
            _end_script(self._child, is_kept=self._child_spec.is_own_python)
            self._child = None
        if self._local is not None:
            self._local.close()
            self._local = None

    def _paths(self) -> list[str]:
        return list(sys.path) if self._child_spec.is_own_python else []

    def _start(self) -> Child:
        if self._child_spec.is_own_python:
            return _take_waiting() or Child(sys.executable)
        return Child(find_interpreter(self._child_spec), _own_package().name)

    def _load_here(self, error: OSError) -> Loaded:
        if not self._child_spec.is_own_python:
            return Loaded(_no_interpreter(self._child_spec, error))
        self._local = LocalEngine(self._spec)
        loaded = self._local.load()
        told = f"workers cannot start processes ({error.strerror}): a hang or a crash of the model is a worker's own"
        return Loaded(loaded.failure, (*loaded.warnings, told))

    def _ask(self, request: tuple[Any, ...]) -> Any:
        if self._child is None:
            raise RuntimeError("the engine is not loaded")
        try:
            return self._child.ask(request, self._child_spec.timeout)
        except ChildEndedError as ended:
            self._child = None
            return self._failure(ended, TIMEOUT, ENDED, "the mini-batch", self._child_spec.timeout)

    def _failure(self, ended: ChildEndedError, timeout_code: str, ended_code: str, what: str, limit: Any) -> Failure:
        if ended.is_timeout:
            return Failure(
                timeout_code,
                MiniBatchTimeoutError.__name__,
                f"{what} took longer than {limit:g} s",
                traceback_text=ended.trace,
                next_step="Raise 'settings.retry_settings.timeout', or make the mini-batches smaller; the log says "
                "where it was.",
            )
        return Failure(
            ended_code,
            ScoringError.__name__,
            f"the process that scores {_how_ended(ended.code)} during {what}",
            traceback_text=ended.trace,
            next_step="The log says where it was, as far as that is known. A process that was killed may have needed "
            "more memory than its host has.",
        )


def _how_ended(code: int | None) -> str:
    if code is None:
        return "closed its connection"
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    hint = ", possibly for lack of memory" if -code == signal.SIGKILL else ""
    return f"was ended by {name}{hint}"


def _lacks_package(ended: ChildEndedError) -> Failure:
    return Failure(
        "PYTHON_PACKAGES",
        EnvironmentMismatchError.__name__,
        f"the interpreter of 'python.path' or 'python.archive' lacks what sparkscore needs: {ended.trace}",
        next_step="Install pyarrow, pandas, numpy and packaging there; 'sparkscore env build' does.",
    )


def _no_interpreter(spec: ChildSpec, error: OSError) -> Failure:
    return Failure(
        "PYTHON_NOT_FOUND",
        ScoringError.__name__,
        f"the interpreter '{spec.python or 'of python.archive'}' does not start on host '{socket.gethostname()}': "
        f"{error.strerror}",
        next_step="Correct 'python.path'; it is a path on the workers' hosts.",
    )


@cache
def _own_package() -> tempfile.TemporaryDirectory[str]:
    """Make a folder that holds this package and nothing else: the worker's other packages are not the child's."""
    folder = tempfile.TemporaryDirectory(prefix="sparkscore-child-")
    package = Path(__file__).parents[1]
    (Path(folder.name) / package.name).symlink_to(package, target_is_directory=True)
    return folder
