"""Start a JVM for Spark and create a session in it. Runs on the driver.

This module requires PySpark. `sparkscore.spark.session` checks that PySpark is installed before importing this module.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from py4j.java_gateway import JavaGateway
from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.find_spark_home import _find_spark_home
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import NO_SPACE, ConfigError, MissingDependencyError
from sparkscore.redaction import on_new_secrets, remember_secrets
from sparkscore.rotating_log import PipedLog
from sparkscore.spark.class_archive import discard_archive, find_archive, options_for
from sparkscore.spark.jvm_launch import launching
from sparkscore.spark.jvm_tuning import tuning_options
from sparkscore.spark.known_jars import defaults_of, note_jars, with_known_jars
from sparkscore.spark.prerequisites import DELTA_EXTENSION, check_java, delta_coordinate, has_new_java

_SUBMIT_PORT = "PYSPARK_GATEWAY_PORT"  # set by spark-submit for the Python process that it starts
_CRASH = "A fatal error has been detected by the Java Runtime Environment"
_TWO_COLLECTORS = re.compile("Multiple garbage collectors selected|Conflicting collector combinations")
_SECONDS_TO_END = 3
_MIRROR = "behind a mirror, set spark.jars.ivySettings to your Ivy settings file"


def active_session() -> SparkSession | None:
    """Return the Spark session of this process, or None if this process has no Spark context.

    If there is a context but no active session, a session is created for it.
    """
    context = SparkContext._active_spark_context  # noqa: SLF001 - Spark's only way to ask without starting one
    if context is None:
        return None
    return SparkSession.getActiveSession() or SparkSession(context)


def running_gateway() -> JavaGateway | None:
    """Return the py4j gateway to the JVM of an earlier session or of ``spark-submit``, or None if there is no JVM."""
    if SparkContext._gateway is None and _SUBMIT_PORT in os.environ:  # noqa: SLF001 - the only place that knows
        return launch_gateway()  # type: ignore[no-untyped-call]
    return SparkContext._gateway  # noqa: SLF001 - the only place that knows


def end_jvm() -> bool:
    """End the JVM that this process started, so that the next session gets a new one.

    Returns:
        whether the JVM was ended. It is not ended if a session uses it, or if ``spark-submit`` started it.
    """
    gateway = SparkContext._gateway  # noqa: SLF001 - Spark has no way to start another one
    if SparkContext._active_spark_context is not None or gateway is None or gateway.proc is None:  # noqa: SLF001
        return False
    SparkContext._gateway = SparkContext._jvm = None  # noqa: SLF001 - as above
    with suppress(Py4JError, OSError):  # the JVM may have ended already
        gateway.shutdown()
    # The JVM ends when this pipe is closed.
    with gateway.proc as process:
        process.stdin.close()
        _end(process)
    return True


def has_delta_jar(gateway: JavaGateway) -> bool:
    """Return whether a JVM has Delta's classes."""
    try:
        gateway.jvm.org.apache.spark.util.Utils.classForName(DELTA_EXTENSION, True, False)
    except Py4JError:
        return False
    return True


def submitted_settings(gateway: JavaGateway | None) -> dict[str, str]:
    """Return the ``spark-submit`` settings, or an empty dictionary if ``spark-submit`` did not start this process.

    Args:
        gateway: the py4j gateway to the JVM, or None if there is no JVM.
    """
    if gateway is None or _SUBMIT_PORT not in os.environ:
        return {}
    return dict(SparkConf(_jvm=gateway.jvm).getAll())


def defaults_file() -> Path:
    """Return the path of the file with Spark's default settings, which may be missing."""
    return defaults_of(Path(_find_spark_home()))


def launch_jvm(settings: Mapping[str, str], log_file: Path, *, is_tuned: bool = True) -> JavaGateway:
    """Start a JVM with these Spark settings, and return the py4j gateway to it.

    The JVM's standard output and standard error are appended to the log file, with known secrets masked. With a local
    master, ``PYSPARK_PYTHON`` is set so that workers use this process's Python.

    Args:
        settings: Spark settings, which must include ``spark.master``.
        log_file: path of the log file.
        is_tuned: whether a local JVM gets the options of `tuning_options`. If Java refuses them, because the user has
            chosen a garbage collector in a place where it was not found, it is started again without them.

    Raises:
        ConfigError: the log file cannot be written, a Java option contains a secret, or the current user id has
            no user name.
        MissingDependencyError: Java is missing, too old or does not start; the Delta jar or another package cannot be
            downloaded; or the JVM or the process that writes the log does not start.
    """
    if not has_new_java():
        check_java()
    is_local = settings["spark.master"].startswith("local")
    if is_local:
        os.environ["PYSPARK_PYTHON"] = sys.executable  # a python3 from the PATH may lack packages
    home = Path(_find_spark_home())
    given = with_known_jars(settings, home) if is_local else dict(settings)
    archive = find_archive(settings, home) if is_local else None
    start = _length_of(log_file)
    try:
        gateway = _launch(given, log_file, archive, is_tuned=is_tuned)
    except RuntimeError as error:
        check_java()  # It may be Java that does not start.
        lines = _lines_since(log_file, start)
        if is_tuned and any(map(_TWO_COLLECTORS.search, lines)):
            return launch_jvm(settings, log_file, is_tuned=False)
        is_crash = any(_CRASH in line for line in lines)
        if archive is None or not is_crash or not discard_archive(archive):
            raise _launch_error(log_file, lines, settings.get("spark.jars.packages", "")) from error
        return launch_jvm(settings, log_file, is_tuned=is_tuned)
    if is_local and given == settings:
        note_jars(settings, home, _jars_of(gateway))
    return gateway


def _jars_of(gateway: JavaGateway) -> str:
    """Return the jars of the packages that Ivy gave ``spark-submit``, which puts them into the JVM's properties."""
    return str(SparkConf(_jvm=gateway.jvm).get("spark.jars") or "")


def _launch(settings: Mapping[str, str], log_file: Path, archive: Path | None, *, is_tuned: bool = True) -> JavaGateway:
    """Start a JVM. Raises a RuntimeError if it ends at once. After an error, all of its output is in the log file."""
    try:
        log = PipedLog(log_file)
    except OSError as error:
        raise _start_error(log_file, error.strerror or type(error).__name__) from error
    # Scripts may print secrets, and Spark may log settings that it does not recognize as secrets. Registering the log's
    # method also keeps the log object alive: its process runs as long as the JVM, and nobody waits for it.
    remember_secrets(settings)
    on_new_secrets(log.mask)
    is_local = settings["spark.master"].startswith("local")
    options = [options_for(archive)] if archive else []
    if is_local and is_tuned:
        options.append(tuning_options(settings, defaults_file().parent))
    try:
        with launching(settings, is_local=is_local, java_options=" ".join(filter(None, options))) as shown:
            conf = SparkConf(loadDefaults=False).setAll(list(shown.items()))
            return _gateway_of_new_jvm(conf, log.pipe)
    except OSError as error:
        log.drain()
        path = error.filename or tempfile.gettempdir()
        raise _start_error(log_file, f"{error.strerror or type(error).__name__}: {path}") from error
    except BaseException:
        log.drain()
        raise
    finally:
        log.close()


def _gateway_of_new_jvm(conf: SparkConf, output: IO[bytes]) -> JavaGateway:
    """Start a JVM, and end it if a signal interrupts the wait for it.

    When PySpark stops waiting, it removes the folder into which the JVM writes its port. The JVM's main thread then
    fails, but the JVM lives on and no longer notices that Python has ended.
    """
    try:
        return launch_gateway(conf, {"stdout": output, "stderr": subprocess.STDOUT})  # type: ignore[no-untyped-call]
    except BaseException as error:
        for process in _processes_in(error):
            with process:  # closes its pipe
                process.terminate()
                _end(process)
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process that has been asked to end does so, or kill it."""
    try:
        process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()


def _processes_in(error: BaseException) -> set[subprocess.Popen[bytes]]:
    """Return the processes that the functions in the traceback of an error have started; only they know them."""
    values = (value for frame, _ in traceback.walk_tb(error.__traceback__) for value in frame.f_locals.values())
    return {value for value in values if isinstance(value, subprocess.Popen) and getattr(value, "pid", None)}


def _length_of(log_file: Path) -> int:
    try:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("ab") as log:
            return log.tell()
    except OSError as error:
        raise ConfigError(
            code=ErrorCode.LOG_FILE,
            what=f"Spark's log file '{log_file}' cannot be written ({error.strerror})",
            next_step="Set a writable folder with --runs DIR or SPARKSCORE_RUNS, or log_file in Python.",
        ) from error


def create_session(settings: Mapping[str, str], gateway: JavaGateway, log_file: Path) -> SparkSession:
    """Create a Spark session with these settings in a running JVM.

    If the settings contain Delta's extension, also check that the JVM has the Delta jar.

    Args:
        settings: Spark settings.
        gateway: the py4j gateway to the JVM.
        log_file: path of the JVM's log, for error messages.

    Raises:
        MissingDependencyError: Spark does not start, or the JVM does not have the Delta jar.
    """
    try:
        # This also reads the JVM's properties, which contain the jars of the downloaded packages.
        spark_conf = SparkConf(_jvm=gateway.jvm).setAll(list(settings.items()))
        session = SparkSession(SparkContext(conf=spark_conf, gateway=gateway))
    except Py4JError as error:
        java = getattr(error, "java_exception", None)
        raise _start_error(log_file, str(java.getMessage()) if java else str(error)) from error
    if DELTA_EXTENSION in settings.get("spark.sql.extensions", ""):
        _check_delta(session, gateway)
    return session


def _check_delta(session: SparkSession, gateway: JavaGateway) -> None:
    """Check that the JVM has Delta's classes. If not, stop the session and raise an error."""
    if has_delta_jar(gateway):
        return
    session.stop()
    raise MissingDependencyError(
        code=ErrorCode.DELTA_JAR,
        what=f"Delta's jar '{delta_coordinate()}' is not among the jars of the JVM that runs already",
        next_step=f"Run: spark-submit --packages {delta_coordinate()} ..."
        if _SUBMIT_PORT in os.environ
        else "Start Python anew, and begin with local_session(), without delta=False.",
    )


def _lines_since(log_file: Path, start: int) -> list[str]:
    with log_file.open("rb") as log:
        # If the log was rotated since the start, read it from its beginning.
        log.seek(start if start <= log_file.stat().st_size else 0)
        return [line.strip() for line in log.read().decode(errors="replace").splitlines()]


def _launch_error(log_file: Path, lines: list[str], packages: str) -> MissingDependencyError:
    unfetched = [line for line in lines if re.search(r"\[(unresolved dependency|download failed): ", line)]
    if unfetched:
        return MissingDependencyError(
            code=ErrorCode.DELTA_JAR,
            what=f"Delta's jar '{packages}' is neither in the Ivy cache nor available from Maven Central",
            next_step=f"Run 'sparkscore doctor' with a network once; {_MIRROR}. Details: '{log_file}'.",
        )
    return _start_error(log_file, _cause_in(lines))


def _cause_in(lines: list[str]) -> str:
    """Return the reason why a JVM ended, from the lines of its log.

    This is the last line that begins with ``Exception in thread`` or ``Caused by:``. If there is no such line, the
    first two lines other than Java warnings and notes are returned, or ``without a message`` if there are none.
    """
    causes = [line for line in lines if line.startswith(("Exception in thread", "Caused by:"))]
    if causes:
        return re.sub(r'^(Exception in thread "\w+" |Caused by: )', "", causes[-1])
    shown = [line for line in lines if line and not line.startswith(("WARNING:", "NOTE:", "Picked up"))]
    return ". ".join(line.rstrip(".") for line in shown[:2]) or "without a message"


def _start_error(log_file: Path, cause: str) -> MissingDependencyError:
    step = "Check the master and the Spark settings"
    if any(text in cause for text in NO_SPACE):
        step = f"Make room in '{tempfile.gettempdir()}'"
    elif "/.ivy2" in cause:
        # Ivy uses the home directory from /etc/passwd, not the one from the HOME variable.
        step = "Set a writable folder for Ivy's files with --spark-conf spark.jars.ivy=DIR"
    return MissingDependencyError(
        code=ErrorCode.SPARK_START,
        what=f"Spark did not start ({cause.rstrip('.')})",
        next_step=f"{step}. Details: '{log_file}'.",
    )
