"""`sparkscore run`: check the request, start Spark, score, and say how it ended (driver)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
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
from sparkscore.errors import ConfigError, RunNotFoundError, SparkscoreError, message_of
from sparkscore.location import enter_folder
from sparkscore.record.runs_folder import RunFolder, runs_folder

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sparkscore.run import PreparedRun

logger = logging.getLogger("sparkscore")


@dataclass
class RunRequest:
    """What the command line asks for.

    Attributes:
        deployment: the deployment file; None where the options say everything.
        options: the options that `sparkscore.run.prepare` knows, by its names.
        assignments: the `key=value` pairs of `--set`.
        master: Spark's master; that of `local_session` when absent.
        spark_conf: the `key=value` pairs of `--spark-conf`.
        as_json: whether the answer is one JSON object.
        prepared: the checked request, as soon as there is one.
    """

    deployment: Path | None
    options: Mapping[str, Any]
    assignments: Sequence[str] = ()
    master: str | None = None
    spark_conf: Sequence[str] = ()
    as_json: bool = False
    prepared: PreparedRun | None = field(default=None, init=False)


def run_deployment(request: RunRequest) -> int:
    """Do what `sparkscore run` asks for and reply.

    Returns:
        the exit code.
    """
    with interruptible() as interrupts:
        try:
            _score(request, interrupts)
        except (InterruptedRunError, SparkscoreError) as error:
            # An interrupt comes first: what fails after it, fails because of it.
            return _reply_failure(request, interrupts.received or error)
        except Exception as error:  # noqa: BLE001 - a bug: one line for the user, the rest for the log
            return _reply_failure(request, interrupts.received or error)
    return OK


def _score(request: RunRequest, interrupts: Interrupts) -> None:
    if request.options.get("only_failed") and request.deployment is None and request.options.get("model") is None:
        _ask_as_before(request)
    with stdout_for_results():
        prepared = request.prepared = _prepare(request)
    conf = parse_spark_conf(request.spark_conf)
    with spark_session(request.master, conf, prepared.folder.spark_log_file, interrupts) as session:
        with stdout_for_results():
            from sparkscore.run import execute  # noqa: PLC0415 - see _prepare

            run = execute(session, prepared)
        if request.as_json:
            print_json(run.record)
        else:
            from sparkscore.cli.summary import print_summary  # noqa: PLC0415 - see _prepare

            print_summary(run, prepared.folder.path)


def _ask_as_before(request: RunRequest) -> None:
    """Take what a run over failed items leaves out from the request of the run in which they failed."""
    now = {name: value for name, value in request.options.items() if value is not None}
    now["runs"] = runs_folder(now.get("runs"))
    before = request_of(now["runs"], now["only_failed"])
    enter_folder(Path(before["working_directory"]))
    of_each_run = {"run_id", "mode", "input", "input_format", "only_failed"}
    kept = {name: value for name, value in before["options"].items() if name not in of_each_run}
    request.deployment = None if before["deployment"] is None else Path(before["deployment"])
    request.options = {**kept, **now}


def request_of(runs: Path, run_id: str) -> dict[str, Any]:
    """Give what a run was asked for.

    Raises:
        RunNotFoundError: there is no such run, or its request was not kept.
    """
    request = RunFolder(runs, run_id).read_request()
    if request is None or not _is_request(request):
        raise RunNotFoundError(
            code=ErrorCode.REQUEST_NOT_FOUND,
            what=f"what run '{run_id}' in '{runs}' was asked for",
            got="no request: no such run, one with what may be a secret in its options, or a file that was changed",
            state="",
            next_step="Give its command once more, with what you asked for now.",
        )
    return request


def _is_request(content: Mapping[str, Any]) -> bool:
    """Whether a file holds what a run was asked for, as `sparkscore.runlog.RunFolder` keeps it."""
    deployment = content.get("deployment", 0)
    is_whole = isinstance(content.get("working_directory"), str) and isinstance(content.get("options"), dict)
    return is_whole and (deployment is None or isinstance(deployment, str))


def _prepare(request: RunRequest) -> PreparedRun:
    # Imported here: it takes PySpark with it, and --help and a mistyped option are to be answered at once.
    from sparkscore.config import parse_assignment  # noqa: PLC0415
    from sparkscore.run import prepare  # noqa: PLC0415

    settings = dict(parse_assignment(assignment) for assignment in request.assignments)
    settings = {**(request.options.get("settings") or {}), **settings}
    return prepare(request.deployment, **{**request.options, "settings": settings})


@contextmanager
def spark_session(
    master: str | None, conf: Mapping[str, str], log_file: Path, interrupts: Interrupts
) -> Iterator[SparkSession]:
    """Start Spark, and stop it at the end; a session that is there already is used and left alone.

    Raises:
        SparkscoreError: Spark does not start.
    """
    from pyspark.sql import SparkSession  # noqa: PLC0415 - see _prepare

    from sparkscore.scorers.script import SAFE_PATH  # noqa: PLC0415 - see _prepare
    from sparkscore.spark.session import local_session  # noqa: PLC0415 - see _prepare

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
    if isinstance(error, (SparkscoreError, InterruptedRunError)):
        print_error(message_of(error), log_file=None if request.prepared is None else request.prepared.folder.log_file)
    else:
        print_bug(error, runs_folder(request.options.get("runs")))
    if request.as_json:
        print_json(_record_of(request, error))
    return int(getattr(error, "exit_code", FAILED))


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
    run_id = request.options.get("run_id") if folder is None else folder.run_id
    return describe_failure(error, run_id=run_id, state=state)
