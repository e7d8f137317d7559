"""Explain to the user why a child process ended, or why it could not be started. Runs on the workers."""

from __future__ import annotations

import signal
import socket
from typing import Any, Final

from sparkscore.error_codes import ErrorCode
from sparkscore.outcome import Failure
from sparkscore.worker.child.template import IMPORT_FAILED, PYTHON_NEEDED, PYTHON_TOO_OLD, ChildEndedError
from sparkscore.worker.engine import ChildSpec

BROKEN: Final = ErrorCode.PROCESS_BROKEN


def failure_of(
    ended: ChildEndedError, timeout_code: ErrorCode, ended_code: ErrorCode, what: str, limit: Any
) -> Failure:
    """Return the failure for a child that ended or was killed while loading the scorer or scoring a mini-batch.

    Args:
        ended: how the child ended.
        timeout_code: error code if the child took too long.
        ended_code: error code if the child ended for another reason.
        what: what the child was working on, for the message.
        limit: the child's time limit in seconds.
    """
    if ended.broken:
        return _broke(ended, what)
    if ended.is_timeout:
        return Failure(
            timeout_code,
            message=f"{what} took longer than {limit:g} s",
            traceback_text=ended.trace,
            next_step="Raise 'settings.retry_settings.timeout', or make the mini-batches smaller; the log has the "
            "traceback of each thread.",
        )
    return Failure(
        ended_code,
        message=f"the process that scores {_how_ended(ended.code)} during {what}",
        traceback_text=ended.trace,
        next_step="The log has the traceback, if there is one. " + _about_the_end(ended.code),
    )


def _how_ended(code: int | None) -> str:
    """Return a phrase that describes how a process ended, for example ``ended with exit code 1``.

    Args:
        code: exit code, negated signal number, or None if the process only closed its connection.
    """
    if code is None:
        return "closed its connection"
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    hint = ", possibly for lack of memory" if -code == signal.SIGKILL else ""
    return f"was ended by {name}{hint}"


def _about_the_end(code: int | None) -> str:
    """Return a sentence that explains what usually causes a process to end with the given exit code or signal."""
    if code == -signal.SIGKILL:
        return "A process that was killed may have needed more memory than its host has."
    if code is None or code < 0:
        return "Native code of a package or of the system usually causes such a signal."
    return "An exit code comes from a call of os._exit(), or from an interpreter that could not start."


def _broke(ended: ChildEndedError, what: str) -> Failure:
    """Return a `Failure` that says that the user's code damaged the child or its connection to the worker."""
    return Failure(
        BROKEN,
        message=f"the code damaged the process that scores, during {what}: {ended.broken}",
        traceback_text=ended.trace,
        next_step="Change the code so that it does not close or write to file descriptors that it did not open "
        "(os.close, os.closerange, os.write), nor change the modules, built-in functions and limits of its process.",
    )


def failure_of_interpreter(spec: ChildSpec, ended: ChildEndedError, *, has_begun: bool) -> Failure | None:
    """Return a failure if the child ended because its Python interpreter does not work, or None otherwise.

    Args:
        spec: how the child is run. If the child uses the worker's own interpreter, the result is None.
        ended: how the child ended.
        has_begun: True if the child ended while loading the scorer, False if it ended before that.
    """
    if spec.is_own_python:
        return None
    if ended.code == IMPORT_FAILED:
        return _lacks_package(ended)
    if ended.code == PYTHON_TOO_OLD:
        return _too_old(ended)
    return None if has_begun or ended.is_timeout else _no_python(spec, ended)


def _lacks_package(ended: ChildEndedError) -> Failure:
    return Failure(
        ErrorCode.PYTHON_PACKAGES,
        message=f"the interpreter of 'python.path' or 'python.archive' lacks what sparkscore needs: {ended.trace}",
        next_step="Install pyarrow, pandas, numpy and packaging there; 'sparkscore env build' does.",
    )


def _too_old(ended: ChildEndedError) -> Failure:
    needed = ".".join(map(str, PYTHON_NEEDED))
    return Failure(
        ErrorCode.PYTHON_VERSION,
        message=f"the interpreter of 'python.path' or 'python.archive': got Python {ended.trace}, expected {needed} or "
        "later",
        next_step=f"Install Python {needed} or later on the workers' hosts, with the packages of the script, and name "
        "it in 'python.path'; or let 'sparkscore env build' make an environment for the workers' own Python.",
    )


def _no_python(spec: ChildSpec, ended: ChildEndedError) -> Failure:
    return Failure(
        ErrorCode.PYTHON_NOT_FOUND,
        message=f"'{spec.python or 'bin/python of python.archive'}' cannot be started as a Python interpreter on host "
        f"'{socket.gethostname()}': it {_how_ended(ended.code)} before it began",
        traceback_text=ended.trace,
        next_step=f"Name an interpreter of Python {'.'.join(map(str, PYTHON_NEEDED))} or later in 'python.path'; it is "
        "a path on the workers' hosts.",
    )


def no_interpreter(spec: ChildSpec, error: OSError) -> Failure:
    """Return the failure for an interpreter that the deployment names but the operating system cannot start."""
    return Failure(
        ErrorCode.PYTHON_NOT_FOUND,
        message=f"the interpreter '{spec.python or 'of python.archive'}' does not start on host "
        f"'{socket.gethostname()}': {error.strerror}",
        next_step="Correct 'python.path'; it is a path on the workers' hosts.",
    )
