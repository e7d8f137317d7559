"""Check that a worker sees the input and the stage of a run, and can write to the stage (worker).

The driver stores a random text, the nonce, in the stage. A worker that reads it sees the stage, and not a folder of its
own disk that has the same path.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.stage.run_stage import TaskStage
from sparkscore.worker.host_problem import Problem, error_of, this_host
from sparkscore.worker.own_package import package_digest, package_version

_NOT_ALLOWED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
# Seconds to wait before a file is looked for again: a network file system may show a new file a little later.
_WAITS_S: Final = (0.0, 0.1, 0.5)


@dataclass(frozen=True)
class InputSample:
    """A file or folder of the input that a worker must see.

    Attributes:
        path: its path.
        size_bytes: size of the file, or None for a folder.
    """

    path: str
    size_bytes: int | None


@dataclass(frozen=True)
class HostCheck:
    """What a worker must prove before it works on a run. It is pickled and sent to the workers.

    Attributes:
        stage: the stage of the run.
        nonce: the random text in the stage.
        inputs: some files or folders of the input.
        folders: further folders in which workers write when the run is published.
        package: digest of the driver's sparkscore.
        version: version of the driver's sparkscore.
    """

    stage: TaskStage
    nonce: str
    inputs: tuple[InputSample, ...]
    folders: tuple[str, ...]
    package: str
    version: str


def find_problem(check: HostCheck) -> Problem | None:
    """Return why this process cannot work on a run, or None if it can.

    A file is written into the stage and removed.
    """
    found = _find_problem_before_writing(check)
    return found or _problem_with(check.stage, lambda: check.stage.forget_proof(check.stage.write_proof(check.nonce)))


def write_proof(check: HostCheck) -> str | Problem:
    """Check this process, and return the name of a file that it wrote into the stage and that the driver must remove.

    If the process cannot work on the run, the problem is returned.
    """
    found = _find_problem_before_writing(check)
    names: list[str] = []
    return found or _problem_with(check.stage, lambda: names.append(check.stage.write_proof(check.nonce))) or names[0]


def _find_problem_before_writing(check: HostCheck) -> Problem | None:
    return (
        _find_other_package(check)
        or _find_hidden_stage(check)
        or next(filter(None, map(_find_hidden_input, check.inputs)), None)
        or next(filter(None, map(_find_hidden_folder, check.folders)), None)
    )


def _find_other_package(check: HostCheck) -> Problem | None:
    if package_digest() == check.package:
        return None
    own = str(Path(__file__).parents[1])
    same = " with other modules" if package_version() == check.version else ""
    return Problem(ErrorCode.PACKAGE_MISSING, sys.executable, f"sparkscore {package_version()}{same} in '{own}'")


def _find_hidden_stage(check: HostCheck) -> Problem | None:
    for seconds in _WAITS_S:
        time.sleep(seconds)
        try:
            found = check.stage.nonce()
            break
        except FileNotFoundError as error:
            problem = _of_stage(check.stage, error)
        except OSError as error:
            return _of_stage(check.stage, error)
    else:
        return problem
    if found == check.nonce:
        return None
    return Problem(ErrorCode.STAGE_NOT_SEEN, check.stage.location, "another folder at the same path")


def _problem_with(stage: TaskStage, write: Callable[[], object]) -> Problem | None:
    try:
        write()
    except OSError as error:
        code = ErrorCode.STAGE_NO_SPACE if error.errno in _FULL else ErrorCode.STAGE_NOT_WRITABLE
        return Problem(code, stage.location, _reason_of(error), is_refused=error.errno in _NOT_ALLOWED)
    return None


def _of_stage(stage: TaskStage, error: OSError) -> Problem:
    is_refused = error.errno in _NOT_ALLOWED
    code = ErrorCode.STAGE_NOT_WRITABLE if is_refused else ErrorCode.STAGE_NOT_SEEN
    return Problem(code, stage.location, _reason_of(error), is_refused=is_refused)


def _find_hidden_input(sample: InputSample) -> Problem | None:
    try:
        if sample.size_bytes is None:
            with os.scandir(sample.path) as entries:
                next(entries, None)
            return None
        with Path(sample.path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        is_refused = error.errno in _NOT_ALLOWED
        return Problem(ErrorCode.INPUT_NOT_SEEN, sample.path, _reason_of(error), is_refused=is_refused)
    if size == sample.size_bytes:
        return None
    return Problem(ErrorCode.INPUT_NOT_SEEN, sample.path, f"another file, of {size} bytes")


def _find_hidden_folder(folder: str) -> Problem | None:
    if not Path(folder).is_dir():
        return Problem(ErrorCode.STAGE_NOT_SEEN, folder, "no such folder")
    if os.access(folder, os.W_OK | os.X_OK):
        return None
    return Problem(ErrorCode.STAGE_NOT_WRITABLE, folder, "no right to write there", is_refused=True)


def _reason_of(error: OSError) -> str:
    return error.strerror or type(error).__name__


# Stages that this process was checked for. Spark reuses worker processes for many tasks, and only a module variable is
# visible to all of them.
_proven: set[tuple[str, str]] = set()


def prove_once(check: HostCheck | None) -> None:
    """Check this process at its first task of a run. Runs on a worker. Do nothing if the check is None.

    Raises:
        SparkscoreError: this process does not see the stage or the input, cannot write to the stage, or has another
            sparkscore than the driver. Spark then tries the task again, perhaps on another host.
    """
    if check is None or (check.stage.location, check.nonce) in _proven:
        return
    problem = find_problem(check)
    if problem is not None:
        raise error_of(problem, str(this_host()), check.version, "Nothing was published.")
    _proven.add((check.stage.location, check.nonce))
