"""`sparkscore run` and `sparkscore resume`: check the request, start Spark, score, and say how it ended (driver)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkscore.cli.interrupts import InterruptedRunError, Interrupts, interruptible, stop_session
from sparkscore.cli.reply import (
    FAILED,
    OK,
    describe_failure,
    is_submitted,
    print_bug,
    print_error,
    print_json,
    shown_path,
    stdout_for_results,
)
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SparkscoreError, message_of, named
from sparkscore.record.run_record import COMPLETE, HELD, RunRecord
from sparkscore.record.run_store import RunStore
from sparkscore.record.runs_folder import runs_folder

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sparkscore.run import PreparedRun, RunOptions

logger = logging.getLogger("sparkscore")


@dataclass
class RunRequest:
    """What the command line asks for.

    Attributes:
        prepare: checks the request; it imports PySpark, and --help and a mistyped option are to be answered at once.
        run_id: the run's id, where one is given.
        runs: folder of the run records, where one is given.
        master: Spark's master; that of `local_session` when absent.
        spark_conf: the `key=value` pairs of `--spark-conf`.
        as_json: whether the answer is one JSON object.
        prepared: the checked request, as soon as there is one.
    """

    prepare: Callable[[], PreparedRun]
    run_id: str | None
    runs: Path | None
    master: str | None = None
    spark_conf: Sequence[str] = ()
    as_json: bool = False
    prepared: PreparedRun | None = field(default=None, init=False)


def asking_for(deployment: Path | None, options: RunOptions, assignments: Sequence[str]) -> Callable[[], PreparedRun]:
    """Return what checks a request of `sparkscore run`.

    Args:
        deployment: the deployment file; None where the options say everything.
        options: the options that `sparkscore.run.prepare` knows, by its names.
        assignments: the `key=value` pairs of `--set`.
    """

    def prepared() -> PreparedRun:
        from sparkscore.config import parse_assignment  # noqa: PLC0415 - see RunRequest
        from sparkscore.run import prepare  # noqa: PLC0415 - see RunRequest

        options["settings"] = dict(parse_assignment(assignment) for assignment in assignments)
        return prepare(deployment, **options)

    return prepared


def asking_again(run_id: str, runs: Path | None) -> Callable[[], PreparedRun]:
    """Return what checks the request of an earlier run again."""

    def prepared() -> PreparedRun:
        from sparkscore.run.resume import prepare_again  # noqa: PLC0415 - see RunRequest

        return prepare_again(run_id, runs=runs)

    return prepared


def run_deployment(request: RunRequest) -> int:
    """Do what `sparkscore run` or `sparkscore resume` asks for and reply.

    Returns:
        the exit code.
    """
    with interruptible() as interrupts:
        try:
            _score(request, interrupts)
        except (InterruptedRunError, SparkscoreError) as error:
            return _reply_failure(request, interrupts.behind(error))
        except Exception as error:  # noqa: BLE001 - a bug: one line for the user, the rest for the log
            return _reply_failure(request, interrupts.behind(error))
    return OK


def _score(request: RunRequest, interrupts: Interrupts) -> None:
    with stdout_for_results():
        prepared = request.prepared = request.prepare()
    # Before Spark's log is written there.
    prepared.folder.create()
    conf = parse_spark_conf(request.spark_conf)
    with spark_session(request.master, conf, prepared.folder.spark_log_file, interrupts) as session:
        with stdout_for_results():
            from sparkscore.run import execute  # noqa: PLC0415 - see RunRequest

            run = execute(session, prepared)
        if request.as_json:
            print_json(run.record)
        else:
            from sparkscore.cli.summary import print_summary  # noqa: PLC0415 - see RunRequest

            print_summary(run, prepared.folder.path)


@contextmanager
def spark_session(
    master: str | None, conf: Mapping[str, str], log_file: Path, interrupts: Interrupts
) -> Iterator[SparkSession]:
    """Start Spark, and stop it at the end; a session that is there already is used and left alone.

    Raises:
        SparkscoreError: Spark does not start.
    """
    from pyspark.sql import SparkSession  # noqa: PLC0415 - see RunRequest

    from sparkscore.scorers.script import SAFE_PATH  # noqa: PLC0415 - see RunRequest
    from sparkscore.spark.session import local_session  # noqa: PLC0415 - see RunRequest

    is_ours = SparkSession.getActiveSession() is None
    if is_ours:
        # The JVM of spark-submit is there already, and logs where spark-submit was told to.
        logger.info("starting Spark%s", "" if is_submitted() else f", its log is {shown_path(log_file)}")
    # A file in the working directory called json.py or typing.py must not be the workers' module.
    conf = {f"spark.executorEnv.{SAFE_PATH[0]}": SAFE_PATH[1], **conf}
    with stdout_for_results():
        session = local_session(conf=conf, log_file=log_file, **({} if master is None else {"master": master}))
    interrupts.watch(session)
    try:
        yield session
    finally:
        if is_ours:
            stop_session(session)


def parse_spark_conf(pairs: Sequence[str]) -> dict[str, str]:
    """Read the `key=value` pairs of `--spark-conf`.

    Raises:
        ConfigError: a pair is none.
    """
    conf = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise ConfigError(
                code=ErrorCode.SPARK_CONF,
                what=f"option --spark-conf '{key}'",
                got="no key and value",
                expected="key=value, for example spark.driver.memory=4g",
                next_step="Correct the option.",
            )
        conf[key.strip()] = value
    return conf


def _reply_failure(request: RunRequest, error: BaseException) -> int:
    error = named(error) if isinstance(error, Exception) else error
    folder = None if request.prepared is None else request.prepared.folder
    record = _finished(folder) if isinstance(error, InterruptedRunError) else None
    if record is not None:
        error.add_note(f"Run '{record.run_id}' is {'held' if record.state == HELD else 'complete'}.")
    if isinstance(error, (SparkscoreError, InterruptedRunError)):
        print_error(message_of(error), log_file=None if folder is None else folder.log_file)
    else:
        print_bug(error, runs_folder(request.runs))
    if request.as_json:
        print_json(_record_of(request, error) if record is None else record.as_dict())
    return int(getattr(error, "exit_code", FAILED))


def _finished(folder: RunStore | None) -> RunRecord | None:
    """Return the record of a run whose result was there before the interrupt came."""
    record = None if folder is None else folder.read_record()
    return record if record is not None and record.state in {COMPLETE, HELD} else None


def _record_of(request: RunRequest, error: BaseException) -> dict[str, Any]:
    """Give the record that the run left; without one, the little that is known."""
    if isinstance(error, SparkscoreError) and error.record is not None:
        return error.record
    state = "ABORT" if isinstance(error, InterruptedRunError) else "FAIL"
    folder = None if request.prepared is None else request.prepared.folder
    record = None if folder is None or isinstance(error, SparkscoreError) else folder.read_record()
    # The record in the folder may be that of an earlier run of this id: then its state is another.
    if record is not None and record.state == state:
        return record.as_dict()
    run_id = request.run_id if folder is None else folder.run_id
    return describe_failure(error, run_id=run_id, state=state)
