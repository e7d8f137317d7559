"""Score in a child process, and return a failure if the child hangs, crashes or is killed. Runs on the workers.

A separate process is needed because a call that holds Python's global interpreter lock can be ended only from another
process, and because a segmentation fault ends the process in which it occurs.
"""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SparkscoreError
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure, Outcome, describe_failure, failed_outcome
from sparkscore.worker.child.ended import failure_of, failure_of_interpreter, no_interpreter
from sparkscore.worker.child.interpreter import find_interpreter
from sparkscore.worker.child.main import CONNECTION_BROKEN
from sparkscore.worker.child.messages import (
    TOKEN_BYTES,
    Connection,
    ConnectionLostError,
    ForeignMessageError,
    UnreadableMessageError,
)
from sparkscore.worker.child.shared_memory import SharedMemory
from sparkscore.worker.child.template import ChildEndedError, ChildStart, import_path
from sparkscore.worker.child.templates import Templates
from sparkscore.worker.engine import ChildSpec, EngineSpec, Loaded, LocalEngine, Probed, outcome_of_returned
from sparkscore.worker.result import ResultSpec, with_known

TIMEOUT: Final = ErrorCode.MINI_BATCH_TIMEOUT
ENDED: Final = ErrorCode.PROCESS_ENDED
LOAD_TIMEOUT: Final = ErrorCode.LOAD_TIMEOUT
LOAD_ENDED: Final = ErrorCode.LOAD_PROCESS_ENDED

#: This worker process's template process, if any.
templates: Final = Templates()
_TRACE_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 5.0
_SHOWN_TRACE: Final = 20_000


class Child:
    """A child process with its own process group. Killing the child kills all processes in the group."""

    def __init__(
        self,
        python: str,
        *,
        is_own_python: bool,
        timeout: float | None,
        has_variables: bool = False,
        libraries: Sequence[str] = (),
    ) -> None:
        """Start the child.

        Args:
            python: path of the child's interpreter.
            is_own_python: whether this is the worker's own interpreter. If so, the child gets the worker's import path.
            timeout: time limit for the start in seconds, or None for no limit.
            has_variables: whether the user's code has environment variables of its own.
            libraries: names of modules that the child will import; see `Templates.start_child`.

        Raises:
            OSError: no process can be started.
            ChildEndedError: the template process ended before it forked the child, or the start took too long.
        """
        self._calls = 0
        self._trace = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        ours, theirs = socket.socketpair()
        token = os.urandom(TOKEN_BYTES)
        self._memory = SharedMemory.create()
        self._connection = Connection(ours, token, is_other_alive=lambda: self.is_alive)
        try:
            start = ChildStart(theirs, self._trace, token, timeout, self._memory)
            self._template, forked = templates.start_child(
                python, start, is_own_python=is_own_python, has_variables=has_variables, libraries=libraries
            )
        except (OSError, ChildEndedError):
            self._close()
            raise
        finally:
            theirs.close()
        self.pid = forked.pid
        self._connection.memory = self._memory if forked.has_memory else None

    @property
    def is_alive(self) -> bool:
        """Whether the child is still running."""
        return self._template.wait_for_child(self.pid, 0) is None

    def ask(self, request: tuple[Any, ...], timeout: float | None, *, has_only_plain_values: bool = False) -> Any:
        """Send a request to the child and return its answer.

        Args:
            request: name of the engine method to call in the child, followed by its arguments.
            timeout: time limit for the answer in seconds, or None for no limit.
            has_only_plain_values: whether the request has no objects but those that `Connection.send` lists.

        Raises:
            ChildEndedError: the child ended by itself or was killed. It is killed if it does not answer in time, closes
                its connection, sends unexpected data, or reports that it could not answer.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self._calls += 1
        try:
            self._connection.send(request, self._calls, timeout, has_only_plain_values=has_only_plain_values)
            left = None if deadline is None else max(deadline - time.monotonic(), 0.001)
            status, answer = self._connection.receive(self._calls, self.pid, left)
        except TimeoutError:
            raise self._end(is_timeout=True) from None
        except ConnectionLostError:
            raise self._end() from None
        except (ForeignMessageError, UnreadableMessageError):
            raise self._end(broken="it sent something else than its answer") from None
        if status == "broken":
            raise self._end(broken=f"it could not answer ({answer.strip().splitlines()[-1][:500]})", trace=answer)
        return answer

    def stop(self) -> None:
        """Close the connection and give the child a few seconds to end before killing it.

        The other processes in its process group are killed as well.
        """
        self._connection.close()
        self._template.wait_for_child(self.pid, _STOP_SECONDS)
        self._kill()
        self._close()

    def _end(self, *, is_timeout: bool = False, broken: str = "", trace: str = "") -> ChildEndedError:
        """Kill the child and return an error with the cause and any tracebacks.

        Args:
            is_timeout: whether the child took too long.
            broken: how the user's code damaged the child, or an empty string.
            trace: traceback, if already known. Otherwise, it is read from the child's traceback file.
        """
        if broken:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        if is_timeout:
            # On this signal, Python's faulthandler writes each thread's traceback, even if a thread holds the global
            # interpreter lock.
            os.kill(self.pid, signal.SIGABRT)
            os.kill(self.pid, signal.SIGCONT)  # a stopped process does not handle signals
        code = self._template.wait_for_child(self.pid, _TRACE_SECONDS)
        self._kill()
        self._trace.seek(0)
        trace = trace or self._trace.read(_SHOWN_TRACE).decode(errors="backslashreplace")
        self._close()
        if code == CONNECTION_BROKEN:
            broken = "its connection to the worker was closed or written to"
        return ChildEndedError(code, trace, is_timeout=is_timeout, broken=broken)

    def _kill(self) -> None:
        """Kill the child and its process group, and release its process id. Call this only once.

        The template is kept for the next child if it can still fork children.
        """
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)  # a child that has just started has no session of its own yet
        templates.release(self._template, is_usable=self._template.forget_child(self.pid))

    def _close(self) -> None:
        self._connection.close()
        self._trace.close()
        if self._memory is not None:
            self._memory.close()


class ChildEngine:
    """An engine that scores in a child process. If the child has ended, `load` starts a new one."""

    def __init__(self, spec: EngineSpec, child: ChildSpec) -> None:
        self._spec = spec
        self._child_spec = child
        self._child: Child | None = None
        self._local: LocalEngine | None = None
        self._sent: ResultSpec | None = None
        self._python = ""

    @property
    def is_loaded(self) -> bool:
        """Whether the scorer is loaded. It becomes False if a call ends the child."""
        return self._child is not None or self._local is not None

    def load(self) -> Loaded:
        """Start a child and load the scorer in it.

        If this worker cannot start processes, the scorer is loaded in the worker itself, unless the deployment names
        another interpreter. No exception is raised if loading fails; the returned `Loaded` contains the failure.
        """
        has_begun, self._sent = False, None
        try:
            self._child = self._start()
            has_begun = True
            paths = import_path() if self._child_spec.is_own_python else []
            loaded: Loaded = self._child.ask(("load", self._spec, paths), self._child_spec.load_timeout)
        except SparkscoreError as error:
            return Loaded(describe_failure(error))
        except OSError as error:
            return self._load_here(error)
        except ChildEndedError as ended:
            self._child = None
            templates.stop_preloading()  # a further try does not depend on what the template has imported
            of_python = failure_of_interpreter(self._child_spec, ended, has_begun=has_begun)
            limit = self._child_spec.load_timeout
            return Loaded(of_python or failure_of(ended, LOAD_TIMEOUT, LOAD_ENDED, "loading", limit))
        if loaded.is_shadowed:
            self.close()
            templates.stop_preloading()
            return self.load()
        if loaded.failure is not None:
            self.close()
        else:
            templates.remember(self._python, loaded.libraries)
        return loaded

    def score(self, mini_batch: MiniBatch, spec: ResultSpec, scored_at: datetime) -> Outcome:
        """Score one mini-batch and return its result rows or a failure.

        If no child could be started, the mini-batch is scored in the worker itself.

        Raises:
            RuntimeError: the scorer is not loaded.
        """
        if self._local is not None:
            return self._local.score(mini_batch, spec, scored_at)
        # The spec is the same for all mini-batches of a task, so it is sent once. None stands for the spec sent last.
        sent, self._sent = self._sent, spec
        answer: Outcome | Failure | tuple[object]
        if spec is sent and mini_batch.rows is None:
            answer = self._ask(("files", *_values_of(mini_batch)), has_only_plain_values=True)
        else:
            answer = self._ask(("score", mini_batch, None if spec is sent else spec, scored_at))
        if isinstance(answer, Failure):
            return failed_outcome(mini_batch.item_count, answer)
        if isinstance(answer, tuple):
            return outcome_of_returned(answer[0], mini_batch, spec, scored_at)
        return with_known(answer, mini_batch, spec, scored_at)

    def probe(self, mini_batch: MiniBatch, declared: pa.Schema | None) -> Probed:
        """Score one mini-batch, and return the names and types of its result columns, or a failure.

        If no child could be started, the mini-batch is scored in the worker itself.

        Raises:
            RuntimeError: the scorer is not loaded.
        """
        if self._local is not None:
            return self._local.probe(mini_batch, declared)
        probed: Probed | Failure = self._ask(("probe", mini_batch, declared))
        return Probed(failure=probed) if isinstance(probed, Failure) else probed

    def close(self) -> None:
        """Close the scorer and end the child."""
        if self._child is not None:
            with suppress(ChildEndedError):
                self._child.ask(("close",), _STOP_SECONDS)
                self._child.stop()
            self._child = None
        if self._local is not None:
            self._local.close()
            self._local = None

    def _start(self) -> Child:
        spec = self._child_spec
        self._python = find_interpreter(spec)
        has_variables = bool(self._spec.variables or getattr(self._spec.scorer, "environment", ()))
        return Child(
            self._python,
            is_own_python=spec.is_own_python,
            timeout=spec.load_timeout,
            has_variables=has_variables,
            libraries=self._spec.libraries,
        )

    def _load_here(self, error: OSError) -> Loaded:
        """Load the scorer in the worker itself, or return a failure if the deployment names another interpreter.

        Args:
            error: why no child can be started.
        """
        if not self._child_spec.is_own_python:
            return Loaded(no_interpreter(self._child_spec, error))
        self._local = LocalEngine(self._spec)
        loaded = self._local.load()
        told = (
            f"workers cannot start processes ({error.strerror}): a model that hangs or crashes ends the worker itself"
        )
        return replace(loaded, warnings=(*loaded.warnings, told))

    def _ask(self, request: tuple[Any, ...], *, has_only_plain_values: bool = False) -> Any:
        """Send a request to the child, and return its answer, or a failure if the child ended or had to be killed.

        Raises:
            RuntimeError: the scorer is not loaded.
        """
        if self._child is None:
            raise RuntimeError("the engine is not loaded")
        try:
            return self._child.ask(request, self._child_spec.timeout, has_only_plain_values=has_only_plain_values)
        except ChildEndedError as ended:
            self._child = None
            return failure_of(ended, TIMEOUT, ENDED, "the mini-batch", self._child_spec.timeout)


def _values_of(files: MiniBatch) -> tuple[object, ...]:
    """Return the arguments with which a `MiniBatch` of files is made again, in the order of its fields."""
    return files.mini_batch_id, files.files, None, files.input_position, files.is_indivisible
