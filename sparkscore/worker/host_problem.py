"""Explain why a worker cannot score items of a run: a problem with its host, its user or its Python.

Runs on the driver and the workers.
"""

from __future__ import annotations

import os
import platform
import pwd
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import EnvironmentMismatchError, SinkError, SourceError, SparkscoreError

#: Part of `Problem.got` if a worker has the driver's version of sparkscore, but with different modules.
OTHER_MODULES: Final = "with other modules"
_TO_STAGE: Final = "--output or 'output.stage'"


@dataclass(frozen=True)
class Host:
    """A Python process of a Spark worker, and the host on which it runs.

    Attributes:
        name: name of the host.
        user: name of the user who runs the process, or an empty string if the user id has no name.
        uid: id of the user.
        python: version of Python.
        executable: path of the Python interpreter.
    """

    name: str
    user: str
    uid: int
    python: str
    executable: str

    def __str__(self) -> str:
        """Return a description of the worker for a message, with its host and user."""
        return f"worker '{self.name}' (user {self._who})"

    @property
    def _who(self) -> str:
        return f"'{self.user}', uid {self.uid}" if self.user else f"with uid {self.uid}"


@dataclass(frozen=True)
class Problem:
    """Why a worker cannot score items of a run.

    Attributes:
        code: ``STAGE_NOT_SEEN``, ``STAGE_NOT_WRITABLE``, ``STAGE_NO_SPACE``, ``INPUT_NOT_SEEN`` or ``PACKAGE_MISSING``.
        path: path of the stage, file or folder that the worker cannot use. For ``PACKAGE_MISSING``, path of the
            worker's Python interpreter.
        got: what was found on the worker, such as ``Permission denied``, for the error message.
        is_refused: whether the operating system denied access because of missing permissions.
    """

    code: ErrorCode
    path: str
    got: str
    is_refused: bool = False


def this_host() -> Host:
    """Return the host, the user and the Python interpreter of this process."""
    uid = os.geteuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = ""
    return Host(socket.gethostname(), user, uid, platform.python_version(), sys.executable)


def error_of(problem: Problem, worker: str, version: str, state: str) -> SparkscoreError:
    """Return the error for a worker that cannot score items of a run.

    Args:
        problem: why the worker cannot work on the run.
        worker: the worker in words, for the message, for example the `str` of a `Host`.
        version: version of the driver's sparkscore.
        state: what happened to the data, in full sentences, for the message.
    """
    if problem.code is ErrorCode.PACKAGE_MISSING:
        return _package_error(problem, worker, version, state)
    if problem.code is ErrorCode.INPUT_NOT_SEEN:
        return _input_error(problem, worker, state)
    return _stage_error(problem, worker, state)


def _package_error(problem: Problem, worker: str, version: str, state: str) -> SparkscoreError:
    # A version from the package index does not help if the driver has a copy that was changed.
    what = "the driver's copy of sparkscore, without the other one" if OTHER_MODULES in problem.got else ""
    return EnvironmentMismatchError(
        code=ErrorCode.PACKAGE_MISSING,
        what=f"{worker} does not have the driver's sparkscore",
        got=problem.got,
        expected=f"sparkscore {version}, the same modules as on the driver",
        state=state,
        next_step=(
            f"Install there {what}" if what else f"Run there: {problem.path} -m pip install 'sparkscore=={version}'"
        )
        + ", or set PYSPARK_PYTHON to a Python that has it.",
    )


def _input_error(problem: Problem, worker: str, state: str) -> SparkscoreError:
    hidden = "Mount its folder on that host at the same path, or name an input that all hosts see."
    refused = f"Let that user read it, for example with: chmod -R a+rX '{Path(problem.path).parent}'."
    return SourceError(
        code=ErrorCode.INPUT_NOT_SEEN,
        what=f"{worker} does not see the input '{problem.path}', which the driver sees",
        got=problem.got,
        state=state,
        next_step=refused if problem.is_refused else hidden,
    )


def _stage_error(problem: Problem, worker: str, state: str) -> SparkscoreError:
    is_hidden = problem.code is ErrorCode.STAGE_NOT_SEEN
    hidden = f"Mount its file system on that host at the same path, or set {_TO_STAGE} to a folder that all hosts see."
    refused = (
        "Start Spark's workers as the user of the driver. Or give the folder in which it is to a group of both users, "
        "with 'chgrp' and 'chmod 2775', and start the driver and the workers with 'umask 002'."
    )
    other = f"Correct the cause, or name another folder with {_TO_STAGE}."
    return SinkError(
        code=problem.code,
        what=f"{worker} {'does not see' if is_hidden else 'cannot write to'} the run's folder '{problem.path}'",
        got=problem.got,
        state=state,
        next_step=hidden if is_hidden else refused if problem.is_refused else other,
    )
