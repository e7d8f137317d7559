"""Check before scoring that workers have access to a run's input and stage, and can write to the stage.

Runs on the driver.
"""

from __future__ import annotations

import ast
import errno
import logging
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from pyspark.sql import SparkSession

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError
from sparkscore.location import is_remote, plain_path
from sparkscore.outcome import Failure
from sparkscore.plan import Snapshot
from sparkscore.record.versions import version_or_none
from sparkscore.sinks import Sink, Target, shown_in, stage_at
from sparkscore.sources import Source
from sparkscore.spark.hosts import PACKAGES, Answer, application_of, ask_hosts
from sparkscore.spark.shipping import has_other_hosts
from sparkscore.stage import RunStage
from sparkscore.worker.host import HostCheck, InputSample, Place
from sparkscore.worker.host_problem import Problem, error_of
from sparkscore.worker.own_package import package_digest, package_version

logger = logging.getLogger("sparkscore")

_MOST_SAMPLES: Final = 8
_DELTA_LOG: Final = "_delta_log"
_STATE: Final = "Nothing was scored."
_OF_FILES: Final = frozenset({"FileNotFoundError", "PermissionError"})
# Errors of workers that may come from a changed file.
_OF_READING: Final = frozenset({ErrorCode.INPUT_NOT_SEEN, ErrorCode.INPUT_UNREADABLE})
# The message of an OSError. Python writes the path as a string literal.
_UNSEEN: Final = re.compile(r"\[Errno \d+\] (?P<reason>[^:]+): (?P<path>'[^'\n]+'|\"[^\"\n]+\")")
# The checks that passed: each has the id of a Spark application and the folders of the stage, tables and input.
_proved: set[tuple[str, ...]] = set()


def check_hosts(
    spark: SparkSession, stage: RunStage, sinks: Sequence[Sink], snapshot: Snapshot | None = None
) -> HostCheck | None:
    """Check with a small Spark job that the workers have access to a run's files, and have the right packages.

    Nothing is checked if the workers are on the driver's host. For the same input and output folders, the job is
    started only once per Spark application.

    Args:
        spark: the session.
        stage: the run's stage, which is open.
        sinks: the outputs of the run.
        snapshot: the input, or None if nothing is scored.

    Returns:
        the conditions that each worker process must meet, which are checked in its first task of the run. None if the
        workers are on the driver's host.

    Raises:
        SparkscoreError: a worker has no access to the input or the stage, cannot write to the stage, lacks a package,
            or has a different version of sparkscore from the driver; or Python does not start on a worker.
    """
    if not has_other_hosts(spark):
        return None
    check = check_of(stage, [] if snapshot is None else samples_of(snapshot))
    # The driver moves files into a Parquet output, but the workers write the files of a Delta table themselves.
    tables = [sink.target for sink in sinks if not sink.moves_files]
    key = _key_of(spark, check, tables)
    if key is None or key not in _proved:
        with _places_in(tables, stage) as places:
            _ask(spark, replace(check, places=places))
        if key is not None:
            _proved.add(key)
    return check


def check_of(stage: RunStage, inputs: Iterable[InputSample] = ()) -> HostCheck:
    """Return the conditions that a worker must meet before it scores items of a run.

    One of them is that the worker can read a nonce, a random string, from the stage. If the stage does not contain a
    nonce yet, this function stores one.
    """
    return HostCheck((_place(stage),), tuple(inputs), package_digest(), package_version())


def _place(stage: RunStage, table: str = "") -> Place:
    return Place(stage.for_tasks(), stage.keep_nonce(), table)


@contextmanager
def _places_in(tables: Sequence[Target], stage: RunStage) -> Iterator[tuple[Place, ...]]:
    """Yield the folders in which workers must be able to write.

    These are the stage and, in each table that does not contain the stage, a folder that exists for the ``with`` block.
    """
    own = [table for table in tables if table.path in Path(stage.location).parents]
    with ExitStack() as stack:
        others = [stack.enter_context(shown_in(table)) for table in tables if table not in own]
        yield (
            _place(stage, str(own[0].path) if own else ""),
            *(_place(other, str(Path(other.location).parents[1])) for other in others),
        )


def _ask(spark: SparkSession, check: HostCheck) -> None:
    began = time.monotonic()
    answers = [_taken(answer, check) for answer in ask_hosts(spark, check)]
    _refuse_problems(answers, check)
    _log_hosts(answers, time.monotonic() - began)


def refuse_unseen(spark: SparkSession, snapshot: Snapshot, failures: Iterable[tuple[Failure | None, str]]) -> None:
    """Raise an error if an item failed because its worker has no access to an input file that the driver can read.

    Such failures are possible even after `check_hosts`, which tries to open only some of the input's files.

    Args:
        spark: the session.
        snapshot: the input.
        failures: pairs of a failure, or None, and the name of the worker process that reported it.

    Raises:
        SourceError: a worker has no access to an input file.
    """
    sizes: dict[str, int] = {}
    for failure, worker in failures:
        found = None if failure is None else _UNSEEN.fullmatch(failure.message)
        if failure is None or found is None or failure.exception not in _OF_FILES or not has_other_hosts(spark):
            continue
        # If the items are rows, scripts do not open the input files.
        files = snapshot.files if snapshot.item_type == "files" else ()
        sizes = sizes or {file.path: file.size_bytes for file in files}
        path = ast.literal_eval(found["path"])
        if path in sizes and is_seen(InputSample(path, sizes[path])):
            is_refused = failure.exception == "PermissionError"
            problem = Problem(ErrorCode.INPUT_NOT_SEEN, path, found["reason"], is_refused=is_refused)
            host = worker.partition(":")[0]
            raise error_of(problem, f"worker '{host}'", package_version(), "Nothing was published.")


@contextmanager
def telling_changes(source: Source) -> Iterator[None]:
    """Raise an error about the change if the ``with`` block fails on a worker because the input was changed meanwhile.

    When a worker reports that it cannot read the input, the driver checks whether the input was changed. If not, the
    worker's error is raised.

    Raises:
        SourceError: the input was changed, or a worker cannot read it.
    """
    try:
        yield
    except SourceError as error:
        if error.code in _OF_READING:
            source.check_unchanged()
        raise


def samples_of(snapshot: Snapshot) -> list[InputSample]:
    """Return at most eight input files that the driver sees, no more than one from each folder.

    If the input has no list of files, for example because it is a Delta table, return its folders instead. For a Delta
    table, this is the folder of its log. For the failed items of an earlier run, return an empty list.
    """
    if snapshot.format == "quarantine":  # the driver has read these items itself
        return []
    if not snapshot.files:
        locations = [snapshot.location] if isinstance(snapshot.location, str) else snapshot.location
        folders = [Path(plain_path(location)) for location in locations if not is_remote(location)]
        logs = [each / _DELTA_LOG if (each / _DELTA_LOG).is_dir() else each for each in folders]
        return [InputSample(str(each), None) for each in logs[:_MOST_SAMPLES] if each.is_dir()]
    by_folder = {str(Path(file.path).parent): file for file in reversed(snapshot.files)}
    found = sorted(by_folder.values(), key=lambda file: file.path)
    chosen = found[:: max(1, -(-len(found) // _MOST_SAMPLES))]
    samples = (InputSample(file.path, file.size_bytes) for file in chosen)
    return [sample for sample in samples if is_seen(sample)]


def is_seen(sample: InputSample) -> bool:
    """Return whether the driver sees an input folder, or an input file with the same size as when it was listed."""
    path = Path(sample.path)
    try:
        return path.is_dir() if sample.size_bytes is None else path.stat().st_size == sample.size_bytes
    except OSError:
        return False


def _key_of(spark: SparkSession, check: HostCheck, tables: Iterable[Target]) -> tuple[str, ...] | None:
    """Return the Spark application's id and the checked folders, or None if the id is unknown."""
    application = application_of(spark)
    if not application:
        return None
    inputs = sorted({str(Path(sample.path).parent) for sample in check.inputs})
    # Use the parent of the stage, because the stage itself is named after the run.
    outputs = [str(Path(check.places[0].stage.location).parent), *(str(table.path) for table in tables)]
    return (application, *outputs, "", *inputs)


def _refuse_problems(answers: Sequence[Answer], check: HostCheck) -> None:
    """Raise an error for the first worker that cannot work on the run.

    A problem with an input file is skipped if the driver finds that the file has changed since it was listed.
    """
    samples = {sample.path: sample for sample in check.inputs}
    for answer in answers:
        problem = answer.problem
        # A file that has changed is reported later, whichever host reads it.
        if problem is None or (problem.path in samples and not is_seen(samples[problem.path])):
            continue
        blind = {str(each.host) for each in answers if each.problem is not None}
        error = error_of(problem, str(answer.host), check.version, _STATE)
        if len(blind) > 1:
            error.what += f" ({len(blind)} workers in all)"
        raise error


def _taken(answer: Answer, check: HostCheck) -> Answer:
    """Read and remove the files that a worker wrote to prove its access, and return the worker's answer.

    If a file cannot be read or removed, or has the wrong content, the returned answer contains this problem.
    """
    for place, proof in zip(check.places, answer.proofs, strict=False):
        problem = _problem_of(place, proof)
        if problem is not None:
            return replace(answer, problem=problem)
    return answer


def _problem_of(place: Place, proof: str) -> Problem | None:
    stage = stage_at(place.stage.location)
    try:
        if stage.take_proof(proof) == place.nonce:
            return None
        got, is_refused = "other content than it wrote", False
    except OSError as error:
        got = f"{error.strerror or type(error).__name__} when the driver took what that worker had written there"
        is_refused = error.errno in {errno.EACCES, errno.EPERM}
    code = ErrorCode.STAGE_NOT_WRITABLE if is_refused else ErrorCode.STAGE_NOT_SEEN
    return Problem(code, stage.location, got, is_refused=is_refused)


def _log_hosts(answers: Sequence[Answer], seconds: float) -> None:
    own = {name: version_or_none(name) for name in PACKAGES}
    hosts = sorted({str(answer.host) for answer in answers})
    logger.info("checked in %.1f s that input and stage are seen by %s", seconds, ", ".join(hosts))
    for name, version in own.items():
        others = sorted({answer.versions.get(name) or "none" for answer in answers} - {version})
        if others:
            logger.warning("the workers have %s %s, and the driver has %s", name, ", ".join(others), version)
