"""Check that a worker has access to a run's input and stage, and can write to the stage. Runs on the workers.

The driver stores a random string, the nonce, in the stage. A worker that can read the nonce sees the driver's stage,
not a folder on its own disk with the same path.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.stage.run_stage import TaskStage
from sparkscore.worker.host_problem import OTHER_MODULES, Problem, error_of, this_host
from sparkscore.worker.own_package import package_digest, package_version

_NOT_ALLOWED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
# Seconds to wait before a file is looked for again: a network file system may show a new file a little later.
_WAITS_S: Final = (0.1, 0.5)


@dataclass(frozen=True)
class InputSample:
    """A file or folder of the input that every worker must be able to read.

    Attributes:
        path: path of the file or folder.
        size_bytes: size of the file, or None for a folder.
    """

    path: str
    size_bytes: int | None


@dataclass(frozen=True)
class Place:
    """A folder that every worker must be able to read and write.

    Attributes:
        stage: the folder. It is the run's stage, or a folder in an output table that the driver created only to find
            out whether workers can use the table.
        nonce: the random string that the driver stored in the folder, for the workers to read back.
        table: path of the table that contains the folder, if Spark itself writes files to the table. Otherwise, an
            empty string.
    """

    stage: TaskStage
    nonce: str
    table: str = ""


@dataclass(frozen=True)
class HostCheck:
    """The conditions that a worker must meet before it scores items of a run. Pickled and sent to the workers.

    Attributes:
        places: the run's stage, and a folder in each output table that must be checked and does not contain the stage.
        inputs: some files or folders of the input.
        package: digest of the modules of the driver's sparkscore.
        version: version of the driver's sparkscore.
    """

    places: tuple[Place, ...]
    inputs: tuple[InputSample, ...]
    package: str
    version: str

    @property
    def key(self) -> tuple[str, ...]:
        """The locations and nonces of the places. A process that passed a check with this key does not repeat it."""
        return tuple(text for place in self.places for text in (place.stage.location, place.nonce))


def find_problem(check: HostCheck) -> Problem | None:
    """Return why this process cannot score items of a run, or None if it can.

    To test this, a file is written into each of `check.places`, and removed again.
    """
    proofs = write_proofs(check)
    if isinstance(proofs, Problem):
        return proofs
    removals = (
        _problem_with(place.stage, partial(place.stage.forget_proof, name))
        for place, name in zip(check.places, proofs, strict=True)
    )
    return next(filter(None, removals), None)


def write_proofs(check: HostCheck) -> list[str] | Problem:
    """Check that this process can score items of a run, and write a file into each of `check.places`.

    Return the names of these files. The caller must remove the files. If the process cannot score items of the run,
    return the problem instead.
    """
    problems = (
        partial(_find_other_package, check),
        *(partial(_find_hidden_place, place) for place in check.places),
        *(partial(_find_hidden_input, sample) for sample in check.inputs),
    )
    found = next(filter(None, (find() for find in problems)), None)
    if found is not None:
        return found
    names: list[str] = []

    def write(place: Place) -> None:
        names.append(place.stage.write_proof(place.nonce))

    written = (_problem_with(place.stage, partial(write, place)) for place in check.places)
    return next(filter(None, written), None) or names


def _find_other_package(check: HostCheck) -> Problem | None:
    if package_digest() == check.package:
        return None
    own = str(Path(__file__).parents[1])
    same = f" {OTHER_MODULES}" if package_version() == check.version else ""
    return Problem(ErrorCode.PACKAGE_MISSING, sys.executable, f"sparkscore {package_version()}{same} in '{own}'")


def _find_hidden_place(place: Place) -> Problem | None:
    try:
        found = _read_nonce(place.stage)
    except OSError as error:
        return _of_stage(place.stage, error)
    if found != place.nonce:
        return Problem(ErrorCode.STAGE_NOT_SEEN, place.stage.location, "another folder at the same path")
    if place.table and not os.access(place.table, os.W_OK | os.X_OK):
        return Problem(ErrorCode.STAGE_NOT_WRITABLE, place.table, "Permission denied", is_refused=True)
    return None


def _read_nonce(stage: TaskStage) -> str:
    for seconds in _WAITS_S:
        try:
            return stage.nonce()
        except FileNotFoundError:
            time.sleep(seconds)
    return stage.nonce()


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


def refuse_hidden_file(path: str, check: HostCheck | None) -> None:
    """Raise an error if this worker has no access to an input file that it must read.

    Args:
        path: path of the file.
        check: the conditions that the worker must meet, or None if the worker is on the driver's host. If None, nothing
            is checked.

    Raises:
        SourceError: the worker cannot open the file. The driver finds out whether the file was removed.
    """
    if check is None:
        return
    try:
        with Path(path).open("rb"):
            return
    except OSError as error:
        is_refused = error.errno in _NOT_ALLOWED
        problem = Problem(ErrorCode.INPUT_NOT_SEEN, path, _reason_of(error), is_refused=is_refused)
        raise error_of(problem, str(this_host()), check.version, "Nothing was published.") from error


def _reason_of(error: OSError) -> str:
    return error.strerror or type(error).__name__


# Stages that this process was checked for. Spark reuses worker processes for many tasks, and only a module variable is
# visible to all of them.
_proven: set[tuple[str, ...]] = set()


def prove_once(check: HostCheck | None) -> None:
    """Raise an error if this worker process cannot score items of a run.

    Runs on a worker. Nothing is checked if `check` is None, or if this process has already passed a check of the run.

    Raises:
        SparkscoreError: this process has no access to the stage or the input, cannot write to the stage, or has a
            different version or different modules of sparkscore from the driver's. Spark then retries the task, perhaps
            on another host.
    """
    if check is None or check.key in _proven:
        return
    problem = find_problem(check)
    if problem is not None:
        raise error_of(problem, str(this_host()), check.version, "Nothing was published.")
    _proven.add(check.key)
