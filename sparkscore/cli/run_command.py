"""`sparkscore run` and `sparkscore resume`: check the request, start Spark, score, and print the result.

Runs on the driver.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
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
    print_text,
    shown_path,
    stdout_for_results,
)
from sparkscore.cli.spark_options import SparkOptions
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import NOTHING_WRITTEN, ConfigError, MissingDependencyError, SparkscoreError, message_of, named
from sparkscore.record.listing import runs_folder
from sparkscore.record.run_record import COMPLETE, HELD, RunRecord
from sparkscore.record.run_store import RunStore

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sparkscore.run import PreparedRun, RunOptions

logger = logging.getLogger("sparkscore")


@dataclass
class RunRequest:
    """The options of `sparkscore run` or `sparkscore resume`.

    Attributes:
        prepare: function that checks the request and returns a run that is ready to execute.
        run_id: id of the run, or None if `prepare` generates one.
        runs: path of the runs folder, or None for the default folder.
        spark: options for starting Spark or connecting to a server.
        as_json: whether to print a JSON object.
        prepared: the result of `prepare`, or None if it has not been called yet.
    """

    prepare: Callable[[], PreparedRun]
    run_id: str | None
    runs: Path | None
    spark: SparkOptions = field(default_factory=SparkOptions)
    as_json: bool = False
    prepared: PreparedRun | None = field(default=None, init=False)


def deferred_prepare(
    deployment: Path | None, options: RunOptions, assignments: Sequence[str]
) -> Callable[[], PreparedRun]:
    """Return a function that checks the request of `sparkscore run` and returns a run that is ready to execute.

    The checks are deferred so that `run_deployment` can report their errors.

    Args:
        deployment: the deployment file, or None if the options name a model or an earlier run.
        options: the keyword arguments of `prepare`.
        assignments: the `key=value` pairs of `--set`.
    """

    def prepared() -> PreparedRun:
        from sparkscore.config import parse_assignment
        from sparkscore.run.prepare import prepare

        options["settings"] = dict(parse_assignment(assignment) for assignment in assignments)
        return prepare(deployment, **options)

    return prepared


def deferred_prepare_again(run_id: str, runs: Path | None) -> Callable[[], PreparedRun]:
    """Return a function that checks the stored request of an earlier run and returns a run that is ready to execute.

    The checks are deferred so that `run_deployment` can report their errors.
    """

    def prepared() -> PreparedRun:
        from sparkscore.run.resume import prepare_again

        return prepare_again(run_id, runs=runs)

    return prepared


def run_deployment(request: RunRequest) -> int:
    """Execute `sparkscore run` or `sparkscore resume`, and print the result or the error.

    Returns:
        the exit code: 0 if the run succeeded, 1 if it failed, 2 if the request was wrong, and 128 plus the signal
        number if a signal interrupted the run.
    """
    with interruptible() as interrupts:
        try:
            _score(request, interrupts)
        except (InterruptedRunError, SparkscoreError) as error:
            return _reply_failure(request, interrupts.behind(error))
        except Exception as error:  # noqa: BLE001 - a bug: the user gets one line, the log the traceback
            return _reply_failure(request, interrupts.behind(error))
    return OK


def _score(request: RunRequest, interrupts: Interrupts) -> None:
    check_spark_options(request.spark)
    with stdout_for_results():
        prepared = request.prepared = request.prepare()
    # Spark's log is written into this folder.
    prepared.folder.create()
    from sparkscore.run.needs import may_need_delta

    needs_delta = may_need_delta(prepared)
    try:
        shown = _execute(request, prepared, interrupts, delta=needs_delta)
    except MissingDependencyError as error:
        if needs_delta or not _can_add_delta(error, request.spark):
            raise
        logger.info("%s; Spark is started again, with Delta, and the run continues", error.sentence)
        shown = _execute_again(request, prepared, interrupts, error)
    print_text(shown) if isinstance(shown, str) else print_json(shown)


def _execute(
    request: RunRequest, prepared: PreparedRun, interrupts: Interrupts, *, delta: bool
) -> dict[str, Any] | str:
    """Start Spark and execute a run, and return its record, or its summary if no JSON is wanted."""
    with spark_session(request.spark, prepared.folder.spark_log_file, interrupts, delta=delta) as session:
        with stdout_for_results():
            from sparkscore.run import execute

            run = execute(session, prepared)
        if request.as_json:
            return run.record
        from sparkscore.cli.summary import summary_of

        return summary_of(run, prepared.folder.path)


def _can_add_delta(error: MissingDependencyError, options: SparkOptions) -> bool:
    """Return whether a run that failed without Delta can be continued with it, in a new JVM.

    If so, this process's JVM is ended, because a JVM that runs cannot get Delta.
    """
    if error.code != ErrorCode.DELTA_SESSION or options.server is not None:
        return False
    from sparkscore.spark.jvm_session import end_jvm
    from sparkscore.spark.prerequisites import has_delta_release

    return has_delta_release() and end_jvm()


def _execute_again(
    request: RunRequest, prepared: PreparedRun, interrupts: Interrupts, first: MissingDependencyError
) -> dict[str, Any] | str:
    """Execute a run again, with Delta. It continues from its stage.

    Args:
        request: the request.
        prepared: the run.
        interrupts: the signal handlers.
        first: the error without Delta. If Spark does not start again, its statement about the data is still true.
    """
    try:
        return _execute(request, prepared, interrupts, delta=True)
    except MissingDependencyError as error:
        if error.record is None:
            error.record = first.record
            if first.state != NOTHING_WRITTEN:
                error.state, error.next_step = first.state, f"{error.next_step} {first.next_step}"
        raise
    except InterruptedRunError as interrupt:
        if not getattr(interrupt, "__notes__", None):
            interrupt.add_note(f"{first.state} 'sparkscore resume {prepared.run_id}' continues where the run stopped.")
        raise


def check_spark_options(options: SparkOptions) -> None:
    """Check the Spark options of a command, before the request is checked or Spark is started.

    Raises:
        ConfigError: the options contradict each other, the URL of the Spark Connect server is not valid, or a Spark
            property has no key or value.
        MissingDependencyError: a server is to be used, and a package for that is not installed.
    """
    if options.server is not None:
        from sparkscore.spark.connect_session import check_packages, check_url

        check_url(options.server)
        check_packages()
    parse_spark_conf(options.spark_conf)


@contextmanager
def spark_session(
    options: SparkOptions, log_file: Path, interrupts: Interrupts, *, delta: bool = True
) -> Iterator[SparkSession]:
    """Start Spark, or connect to a server, for the ``with`` block, and stop the session afterwards.

    A session that is already active is not stopped.

    Args:
        options: how to start Spark or which server to connect to.
        log_file: file for the JVM's output, if this call starts the JVM.
        interrupts: the signal handlers. Inside the ``with`` block, they also cancel the session's jobs.
        delta: whether to load Delta, if this call starts Spark.

    Raises:
        SparkscoreError: Spark does not start, or the options are wrong.
    """
    from pyspark.sql import SparkSession

    is_ours = SparkSession.getActiveSession() is None
    with stdout_for_results(), interrupts.instead_of_sparks():
        if options.server is None:
            session = _local_session(options, log_file, is_ours=is_ours, delta=delta)
        else:
            session = _connect(options)
        interrupts.watch(session)
    try:
        yield session
    finally:
        if is_ours:
            stop_session(session)


def _local_session(options: SparkOptions, log_file: Path, *, is_ours: bool, delta: bool) -> SparkSession:
    from sparkscore.scorers.script import SAFE_PATH
    from sparkscore.spark.session import local_session

    if is_ours:
        # With spark-submit, the JVM is already running, with its own logging.
        logger.info("starting Spark%s", "" if is_submitted() else f", its log is {shown_path(log_file)}")
    # Workers must not import a file in the working directory, such as json.py, in place of a standard module.
    conf = {f"spark.executorEnv.{SAFE_PATH[0]}": SAFE_PATH[1], **parse_spark_conf(options.spark_conf)}
    master = {} if options.master is None else {"master": options.master}
    return local_session(conf=conf, log_file=log_file, delta=delta, **master)


def _connect(options: SparkOptions) -> SparkSession:
    from sparkscore.spark.connect_session import check_url, connect_session

    url = str(options.server)
    logger.info("connecting to the Spark Connect server %s", check_url(url))
    return connect_session(url)


def parse_spark_conf(pairs: Sequence[str]) -> dict[str, str]:
    """Return the `key=value` pairs of `--spark-conf` as a dictionary.

    Raises:
        ConfigError: a pair has no key or no ``=``.
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
    """Return the record of a run if the run is complete or held, or else None.

    If a signal arrives after a run has ended, the command is interrupted, but the run is finished.
    """
    record = None if folder is None else folder.read_record()
    return record if record is not None and record.state in {COMPLETE, HELD} else None


def _record_of(request: RunRequest, error: BaseException) -> dict[str, Any]:
    """Return the dictionary that `--json` prints for a run that failed or was interrupted.

    This is the run record if the run's final state was recorded. Otherwise, it contains only the run id, the state and
    the error.
    """
    if isinstance(error, SparkscoreError) and error.record is not None:
        return error.record
    state = "ABORT" if isinstance(error, InterruptedRunError) else "FAIL"
    folder = None if request.prepared is None else request.prepared.folder
    record = None if folder is None or isinstance(error, SparkscoreError) else folder.read_record()
    # The folder may still contain the record of an earlier execution of the run, with a different state.
    if record is not None and record.state == state:
        return record.as_dict()
    run_id = request.run_id if folder is None else folder.run_id
    return describe_failure(error, run_id=run_id, state=state)
