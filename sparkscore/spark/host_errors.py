"""Explain Spark job failures caused by a worker's files, packages or Python.

Runs on the driver.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import EnvironmentMismatchError, SparkscoreError
from sparkscore.location import plain_path
from sparkscore.spark.causes import Cause, cause_in, host_in
from sparkscore.stage.layout import MARKER
from sparkscore.worker.host_problem import Problem, error_of
from sparkscore.worker.own_package import package_version

_NOT_STARTED: Final = re.compile(
    r'Cannot run program "([^"\n]+)"(?: \(in directory "[^"\n]+"\))?: error=\d+, ([A-Za-z ]+)'
)
_OTHER_PYTHON: Final = re.compile(
    r"\[PYTHON_VERSION_MISMATCH\].*?different version: (\S+?),? .*?(?:than|that) .*?(\d+\.\d+)", re.DOTALL
)
_OTHER_PACKAGE: Final = re.compile(r"Can't get attribute '[\w.]+' on <module 'sparkscore[\w.]*'")
_MODULE: Final = re.compile(r"No module named '([\w.]+)'")
# Packages without which sparkscore on a worker cannot report what is missing.
_NEEDED: Final = frozenset({"sparkscore", "pyspark", "pyarrow", "pandas", "numpy", "packaging"})
_STATE: Final = "Nothing was published."


def explain_host_error(text: str) -> SparkscoreError | None:
    """Return the error for a Spark job that failed because of a worker's files, packages or Python.

    Return None if Spark's message shows no such cause.

    Args:
        text: the message of Spark's exception.
    """
    return _explain_python(text) or _explain_package(text) or explain_hidden_file(text)


def explain_hidden_file(text: str, file: str = "") -> SparkscoreError | None:
    """Return the error for a job that failed because a worker cannot access a file that the driver can access.

    For a file in a run's stage, it is enough that the driver can access the stage. Return None if the message names no
    missing or unreadable file. Also return None if the driver can access neither the file nor its stage: in this case,
    the file was probably removed.

    Args:
        text: the message of Spark's exception.
        file: path of the file that could not be read, or an empty string to take the path from the message.
    """
    cause = cause_in(text)
    if cause is None or not cause.is_hidden_file:
        if not file or "FILE_NOT_EXIST" not in text:
            return None
        cause = Cause("FileNotFoundException", f"File {file} does not exist", file)
    path = Path(file or plain_path(cause.path))
    stage = _stage_of(path)
    if stage is None and not os.access(path, os.R_OK):
        return None
    got = "Permission denied" if cause.is_refused else "no such file or folder"
    code = ErrorCode.INPUT_NOT_SEEN
    if stage is not None:
        code, path = ErrorCode.STAGE_NOT_WRITABLE if cause.is_refused else ErrorCode.STAGE_NOT_SEEN, stage
    return error_of(
        Problem(code, str(path), got, is_refused=cause.is_refused), _worker(text), package_version(), _STATE
    )


def _stage_of(path: Path) -> Path | None:
    """Return the run's stage folder that contains a path, or None if the driver sees no such folder."""
    return next((folder for folder in path.parents if (folder / MARKER).is_file()), None)


def _explain_python(text: str) -> SparkscoreError | None:
    if found := _NOT_STARTED.search(text):
        return EnvironmentMismatchError(
            code=ErrorCode.WORKER_PYTHON,
            what=f"Spark cannot start Python '{found[1]}' on {_worker(text)}",
            got=found[2].strip(),
            expected="a Python that the user of Spark's workers can execute, at this path on each host",
            state=_STATE,
            next_step="Set PYSPARK_PYTHON (or spark.pyspark.python) to a Python that is on each host at the same path, "
            "outside of folders that only another user can open.",
        )
    found = _OTHER_PYTHON.search(text)
    if found is None:
        return None
    own = ".".join(map(str, sys.version_info[:2]))
    return EnvironmentMismatchError(
        code=ErrorCode.WORKER_PYTHON,
        what=f"{_worker(text)} has another version of Python than the driver",
        got=f"Python {found[1]}",
        expected=f"Python {own}",
        state=_STATE,
        next_step=f"Set PYSPARK_PYTHON (or spark.pyspark.python) to a Python {own} that is on each host.",
    )


def _explain_package(text: str) -> SparkscoreError | None:
    cause = cause_in(text)
    if cause is None:
        return None
    version = package_version()
    if cause.name == "AttributeError" and _OTHER_PACKAGE.search(text):
        problem = Problem(ErrorCode.PACKAGE_MISSING, "python", "sparkscore of another version")
        return error_of(problem, _worker(text), version, _STATE)
    module = _MODULE.search(cause.detail)
    if module is None or module[1].partition(".")[0] not in _NEEDED:
        return None
    problem = Problem(ErrorCode.PACKAGE_MISSING, "python", f"no module '{module[1]}'")
    return error_of(problem, _worker(text), version, _STATE)


def _worker(text: str) -> str:
    host = host_in(text)
    return f"worker '{host}'" if host else "a worker"
