"""Build the Spark session of the command line: with Delta, and without output on the terminal (driver)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import NO_SPACE, ConfigError, MissingDependencyError, names
from sparkscore.record.runs_folder import runs_folder
from sparkscore.redaction import remember_secrets, tell_secrets
from sparkscore.rotating_log import PipedLog
from sparkscore.spark.jvm_launch import SHOWN_WITHOUT, launching

if TYPE_CHECKING:
    from py4j.java_gateway import JavaGateway
    from pyspark.sql import SparkSession

JAVA_COMMAND = "apt-get update && apt-get install -y openjdk-17-jre-headless"
_OLDEST_JAVA = 17
_SPARK_MINORS = ("4.0", "4.1", "4.2")
_SPARK_TABLE = """
                                      Spark 4.0 | 4.1    | 4.2
    Databricks Runtime                17.3 LTS  | 18 LTS | 19
    local, standalone, local-cluster  yes       | yes    | yes
    Spark Connect                     not yet   | not yet| not yet"""
_LOCAL_INSTALL = "pip install 'sparkscore[local]'"
_SUBMIT_PORT = "PYSPARK_GATEWAY_PORT"  # set by spark-submit for the Python process that it starts
_MIRROR = "behind a mirror, set spark.jars.ivySettings to your Ivy settings file"
_DELTA_EXTENSION = "io.delta.sql.DeltaSparkSessionExtension"
# Dependencies of Delta that each Spark 4 has in its own folder of jars, which its class loader reads first: copies from
# Maven would never be used. They are 73 of the 87 MB to download, and each start would copy them again.
_IN_SPARK_ALREADY = (
    "com.fasterxml.jackson.core:*",
    "com.github.luben:zstd-jni",
    "org.apache.hadoop:hadoop-client-api",
    "org.apache.hadoop:hadoop-client-runtime",
    "org.apache.logging.log4j:*",
    "org.apache.parquet:*",
    "org.slf4j:slf4j-api",
    "org.xerial.snappy:snappy-java",
)
_ONE_PROCESS = re.compile(r"local(?:\[|$)")
_NO_CONF: Mapping[str, str] = MappingProxyType({})


def local_session(
    *,
    master: str = "local[*,4]",
    conf: Mapping[str, str] = _NO_CONF,
    log_file: str | Path | None = None,
    app_name: str = "sparkscore",
) -> SparkSession:
    """Start Spark with Delta in this process, or return the active session unchanged.

    The output of Spark, Ivy and the workers is appended to the log file and not printed on the terminal. A second
    session after ``stop()`` uses the JVM of the first, with its jars, memory and log file. ``spark-submit`` has started
    a JVM already: its settings (master, jars, log4j) are kept, and the settings here are added where it has none. With
    a local master, the workers use this Python; ``PYSPARK_PYTHON`` is set to it.

    Args:
        master: a Spark master URL; ``local[*,4]`` tries each task up to four times.
        conf: Spark settings, which override those set here. Packages and SQL extensions are added to Delta's.
        log_file: file for the JVM's output, by default ``spark.log`` in the runs folder.
        app_name: the name that Spark shows for this application.

    Returns:
        A session with UTC as its time zone.

    Raises:
        ConfigError: this process has a Spark Connect session, or the log file cannot be written.
        MissingDependencyError: PySpark, Java, the Delta jar is missing or too old, or Spark does not start.
    """
    check_pyspark()
    active = _active_session()
    if active is not None:
        return active
    log = Path(log_file) if log_file else runs_folder() / "spark.log"
    gateway = _running_gateway()
    settings = _settings(master, {**_submitted(gateway), **conf}, app_name)
    gateway = gateway or _launch(settings, log)
    return _create_session(settings, gateway, log)


def java_version() -> int | None:
    """Return the major version of the Java that Spark would start, or None if there is none or it does not start."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    found = re.search(r'version "(?:1\.)?(\d+)', _answer_of(java) if java else "")
    return int(found[1]) if found else None


def _answer_of(java: str) -> str:
    """Return the output of ``java -version``, or the reason why Java does not start, or an empty text without Java."""
    try:
        answer = subprocess.run(  # noqa: S603 - the program that Spark itself would start
            [java, "-version"], capture_output=True, text=True, errors="replace", timeout=60, check=False
        )
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return answer.stderr + answer.stdout or f"exit code {answer.returncode}"


def delta_coordinate() -> str:
    """Return the Maven coordinates of the Delta jar for the installed PySpark and delta-spark.

    Raises:
        MissingDependencyError: one of the two is not installed.
    """
    try:
        delta = metadata.version("delta-spark")
    except metadata.PackageNotFoundError as error:
        raise MissingDependencyError(
            code=ErrorCode.DELTA_MISSING,
            what="the package delta-spark is not installed",
            next_step=f"Run: {_LOCAL_INSTALL}.",
        ) from error
    return f"io.delta:delta-spark_{_spark_minor()}_2.13:{delta}"


def _spark_minor() -> str:
    try:
        import pyspark  # noqa: PLC0415 - the core of sparkscore is installed without it
    except ImportError as error:
        raise MissingDependencyError(
            code=ErrorCode.PYSPARK_MISSING,
            what="the package pyspark is not installed",
            next_step=f"Run: {_LOCAL_INSTALL}; on a cluster, use its Python.",
        ) from error
    return ".".join(pyspark.__version__.split(".")[:2])


def check_pyspark() -> None:
    """Check that PySpark is installed in a supported version, and that the process does not use Spark Connect.

    Raises:
        MissingDependencyError: PySpark is missing, or has another version; the message lists the supported ones.
        ConfigError: the process uses Spark Connect.
    """
    minor = _spark_minor()
    if minor not in _SPARK_MINORS:
        raise MissingDependencyError(
            code=ErrorCode.SPARK_VERSION,
            what="this version of Spark does not work with sparkscore",
            got=f"PySpark {minor}",
            expected=f"one of {names(_SPARK_MINORS)}",
            next_step=f"Run: {_LOCAL_INSTALL}, or use a runtime from this table:{_SPARK_TABLE}",
        )
    from pyspark.sql import is_remote  # noqa: PLC0415 - see _spark_minor

    if is_remote():
        raise ConfigError(
            code=ErrorCode.CONNECT_SESSION,
            what="a local session cannot start in this process, which uses Spark Connect",
            next_step="sparkscore does not support Spark Connect yet. "
            "Unset SPARK_REMOTE and SPARK_CONNECT_MODE_ENABLED and start a new Python process.",
        )


def _active_session() -> SparkSession | None:
    from pyspark import SparkContext  # noqa: PLC0415 - see _spark_minor
    from pyspark.sql import SparkSession  # noqa: PLC0415 - see _spark_minor

    context = SparkContext._active_spark_context  # noqa: SLF001 - Spark's only way to ask without starting one
    if context is None:
        return None
    return SparkSession.getActiveSession() or SparkSession(context)


def _running_gateway() -> JavaGateway | None:
    """Return the py4j gateway of an earlier session or of ``spark-submit``, or None if this process has no JVM."""
    from pyspark import SparkContext  # noqa: PLC0415 - see _spark_minor
    from pyspark.java_gateway import launch_gateway  # noqa: PLC0415 - see _spark_minor

    if SparkContext._gateway is None and _SUBMIT_PORT in os.environ:  # noqa: SLF001 - the only place that knows
        return launch_gateway()  # type: ignore[no-untyped-call]
    return SparkContext._gateway  # noqa: SLF001 - the only place that knows


def _submitted(gateway: JavaGateway | None) -> dict[str, str]:
    """Return the settings of ``spark-submit``, or no settings if it did not start this process."""
    from pyspark import SparkConf  # noqa: PLC0415 - see _spark_minor

    if gateway is None or _SUBMIT_PORT not in os.environ:
        return {}
    return dict(SparkConf(_jvm=gateway.jvm).getAll())


def _settings(master: str, given: Mapping[str, str], app_name: str) -> dict[str, str]:
    settings = {
        "spark.app.name": app_name,
        "spark.databricks.delta.snapshotPartitions": "2",
        # Verifies checksums of Parquet pages in Delta tables too, whose reader does not pass on options of Parquet.
        "spark.hadoop.parquet.page.verify-checksum.enabled": "true",
        "spark.jars.excludes": ",".join(_IN_SPARK_ALREADY),
        "spark.master": master,
        "spark.python.worker.faulthandler.enabled": "true",
        "spark.redaction.regex": SHOWN_WITHOUT,
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        # The value of a folder such as day=007 stays a text.
        "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "4",
        # Spark creates this folder in the working directory otherwise.
        "spark.sql.warehouse.dir": str(runs_folder() / "spark-warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    if given.get("spark.master", master).startswith("local"):
        settings |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    if _ONE_PROCESS.match(given.get("spark.master", master)):
        # Other users of this machine can reach Spark's ports. Spark generates the secret and keeps it in memory.
        settings["spark.authenticate"] = "true"
    return {**settings, **given, **_with_delta(given)}


def _with_delta(given: Mapping[str, str]) -> dict[str, str]:
    """Return the packages and extensions of the given settings with Delta added, unless they contain it."""
    found = {}
    for key, delta in (("spark.jars.packages", delta_coordinate), ("spark.sql.extensions", lambda: _DELTA_EXTENSION)):
        own = given.get(key, "")
        found[key] = own if "delta" in own else ",".join(filter(None, (delta(), own)))
    return found


def _launch(settings: Mapping[str, str], log_file: Path) -> JavaGateway:
    """Start the JVM, with its standard output and error appended to the log file, and return its py4j gateway."""
    from pyspark import SparkConf  # noqa: PLC0415 - see _spark_minor
    from pyspark.java_gateway import launch_gateway  # noqa: PLC0415 - see _spark_minor

    check_java()
    if settings["spark.master"].startswith("local"):
        os.environ["PYSPARK_PYTHON"] = sys.executable  # a python3 from the PATH may lack packages
    is_local = settings["spark.master"].startswith("local")
    start = _length_of(log_file)
    try:
        log = PipedLog(log_file)
    except OSError as error:
        raise _start_error(log_file, error.strerror or type(error).__name__) from error
    # The log gets what scripts print, and settings that Spark does not recognise as secrets. The redactor also keeps
    # the log alive: its process runs as long as the JVM, and nobody waits for it.
    remember_secrets(settings)
    tell_secrets(log.mask)
    try:
        with launching(settings, is_local=is_local) as shown:
            conf = SparkConf(loadDefaults=False).setAll(list(shown.items()))
            return launch_gateway(conf, {"stdout": log.pipe, "stderr": subprocess.STDOUT})  # type: ignore[no-untyped-call]
    except OSError as error:
        log.drain()
        path = error.filename or tempfile.gettempdir()
        raise _start_error(log_file, f"{error.strerror or type(error).__name__}: {path}") from error
    except RuntimeError as error:
        log.drain()
        raise _launch_error(log_file, start, settings["spark.jars.packages"]) from error
    finally:
        log.close()


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


def _create_session(settings: Mapping[str, str], gateway: JavaGateway, log_file: Path) -> SparkSession:
    from py4j.protocol import Py4JError  # noqa: PLC0415 - see _spark_minor
    from pyspark import SparkConf, SparkContext  # noqa: PLC0415 - see _spark_minor
    from pyspark.sql import SparkSession  # noqa: PLC0415 - see _spark_minor

    try:
        # Includes the JVM's properties, which have the jars of the downloaded packages.
        spark_conf = SparkConf(_jvm=gateway.jvm).setAll(list(settings.items()))
        session = SparkSession(SparkContext(conf=spark_conf, gateway=gateway))
    except Py4JError as error:
        java = getattr(error, "java_exception", None)
        raise _start_error(log_file, str(java.getMessage()) if java else str(error)) from error
    _check_delta(session, gateway)
    return session


def check_java() -> None:
    """Check that Java is installed and new enough.

    Raises:
        MissingDependencyError: it is not; the message has the command that installs it.
    """
    version = java_version()
    if version is not None and version >= _OLDEST_JAVA:
        return
    home = os.environ.get("JAVA_HOME")
    location = f"in JAVA_HOME '{home}'" if home else "on the PATH"
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if version is None and java and (answer := _answer_of(java)):
        shown = [
            line.strip().rstrip(".") for line in answer.splitlines() if not line.startswith(("Picked up", "NOTE:", "["))
        ]
        raise MissingDependencyError(
            code=ErrorCode.JAVA_FAILED,
            what=f"Java '{java}' does not start",
            got=". ".join(shown[:2]),
            next_step="If memory is short, raise the limit ('ulimit -v', the container's memory).",
        )
    raise MissingDependencyError(
        code=ErrorCode.JAVA_MISSING if version is None else ErrorCode.JAVA_VERSION,
        what="Spark needs Java",
        got=f"no Java {location}" if version is None else f"Java {version} {location}",
        expected=f"Java {_OLDEST_JAVA} or later",
        next_step=f"As root on Debian or Ubuntu: {JAVA_COMMAND}. Or set JAVA_HOME to a folder whose bin/java is one.",
    )


def _check_delta(session: SparkSession, gateway: JavaGateway) -> None:
    """Check that the session's JVM has Delta. A JVM of ``spark-submit`` has only the jars that were passed to it."""
    from py4j.protocol import Py4JError  # noqa: PLC0415 - see _spark_minor

    try:
        gateway.jvm.org.apache.spark.util.Utils.classForName(_DELTA_EXTENSION, True, False)
    except Py4JError as error:
        session.stop()
        raise MissingDependencyError(
            code=ErrorCode.DELTA_JAR,
            what=f"Delta's jar '{delta_coordinate()}' is not among the jars of the JVM that runs already",
            next_step=f"Run: spark-submit --packages {delta_coordinate()} ...",
        ) from error


def _launch_error(log_file: Path, start: int, packages: str) -> MissingDependencyError:
    with log_file.open("rb") as log:
        # From the beginning if the log was rotated meanwhile.
        log.seek(start if start <= log_file.stat().st_size else 0)
        lines = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
    unfetched = [line for line in lines if re.search(r"\[(unresolved dependency|download failed): ", line)]
    if unfetched:
        return MissingDependencyError(
            code=ErrorCode.DELTA_JAR,
            what=f"Delta's jar '{packages}' is neither in the Ivy cache nor available from Maven Central",
            next_step=f"Run 'sparkscore doctor' with a network once; {_MIRROR}. Details: '{log_file}'.",
        )
    return _start_error(log_file, _cause_in(lines))


def _cause_in(lines: list[str]) -> str:
    """Return why a JVM ended: the last exception in its log, or the first two lines if there is no exception."""
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
        # Ivy's folder is in the home directory from /etc/passwd, not in that of HOME.
        step = "Set a writable folder for Ivy's files with --spark-conf spark.jars.ivy=DIR"
    return MissingDependencyError(
        code=ErrorCode.SPARK_START,
        what=f"Spark did not start ({cause.rstrip('.')})",
        next_step=f"{step}. Details: '{log_file}'.",
    )
