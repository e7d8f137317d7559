"""Check that PySpark, Java and Delta are installed on this machine. Runs on the driver.

This module can be imported without PySpark, so that it can raise an error with advice if PySpark is missing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, MissingDependencyError, names

#: Class of Delta's SQL extension.
DELTA_EXTENSION = "io.delta.sql.DeltaSparkSessionExtension"
JAVA_COMMAND = "apt-get update && apt-get install -y openjdk-17-jre-headless"
_OLDEST_JAVA = 17
_SPARK_MINORS = ("4.0", "4.1", "4.2", "4.3")
#: The versions of Spark for which delta-spark 4.4.0 has a jar.
DELTA_MINORS = ("4.0", "4.1", "4.2")
_RUNTIMES = (
    "Spark 4.0 (Databricks Runtime 17.3 LTS), 4.1 (Databricks Runtime 18 LTS), 4.2 (Databricks Runtime 19), or 4.3 "
    "(without Delta)"
)
_LOCAL_INSTALL = "pip install 'sparkscore[local]'"


def java_version() -> int | None:
    """Return the major version of the Java that Spark would start, or None if it cannot be determined."""
    java = java_program()
    found = re.search(r'version "(?:1\.)?(\d+)', _answer_of(java) if java else "")
    return int(found[1]) if found else None


def java_program() -> str | None:
    """Return the path of the ``java`` program that Spark would start, or None if there is none on the PATH."""
    home = os.environ.get("JAVA_HOME")
    return str(Path(home, "bin", "java")) if home else shutil.which("java")


def noted_java() -> int | None:
    """Return the major version of Java according to a file of Java itself. Java is not started for this.

    Return None if there is no such file, as beside a script that starts Java: only Java itself can tell then.
    """
    java = java_program()
    if java is None or not os.access(java, os.X_OK):
        return None
    try:
        text = Path(java).resolve().parents[1].joinpath("release").read_text(encoding="utf-8")
    except (OSError, ValueError, IndexError):
        return None
    found = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', text, re.MULTILINE)
    return int(found[1]) if found else None


def has_new_java() -> bool:
    """Return whether a file of Java itself says that it is new enough for Spark; see `noted_java`."""
    return (noted_java() or 0) >= _OLDEST_JAVA


def check_java() -> None:
    """Check that Java is installed, starts, and is new enough for Spark.

    Raises:
        MissingDependencyError: Java is missing, too old or does not start.
    """
    version = java_version()
    if version is not None and version >= _OLDEST_JAVA:
        return
    home = os.environ.get("JAVA_HOME")
    location = f"in JAVA_HOME '{home}'" if home else "on the PATH"
    java = java_program()
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


def _answer_of(java: str) -> str:
    """Return the output of ``java -version``, or an empty string if Java is missing.

    If Java cannot be started or takes too long, the exception's message is returned instead. If Java prints nothing,
    its exit code is returned.

    Args:
        java: path of the ``java`` program.
    """
    try:
        answer = subprocess.run(  # noqa: S603 - the program that Spark itself would start
            [java, "-version"], capture_output=True, text=True, errors="replace", timeout=60, check=False
        )
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return answer.stderr + answer.stdout or f"exit code {answer.returncode}"


def has_delta_release() -> bool:
    """Return whether Delta has a jar for the installed version of PySpark.

    The metadata of the installed delta-spark states which versions of PySpark it supports. If delta-spark is not
    installed, `DELTA_MINORS` is used. A new version of Spark is usually supported by Delta some months later.

    Raises:
        MissingDependencyError: PySpark is not installed.
    """
    minor = _spark_minor()
    try:
        requirements = [Requirement(text) for text in metadata.requires("delta-spark") or ()]
    except metadata.PackageNotFoundError:
        return minor in DELTA_MINORS
    # All releases of a minor version use the same jar, even those that are not in delta-spark's list yet.
    releases = [f"{minor}.{patch}" for patch in range(10)]
    return any(any(each.specifier.filter(releases)) for each in requirements if each.name == "pyspark")


def delta_coordinate() -> str:
    """Return the Maven coordinates of the Delta jar that matches the installed PySpark and delta-spark.

    Raises:
        MissingDependencyError: PySpark or delta-spark is not installed.
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


def check_spark_version(version: str | None = None) -> None:
    """Check that a version of Spark is supported.

    Args:
        version: the Spark version of a session, or None for the version of the installed PySpark.

    Raises:
        MissingDependencyError: the version is not supported, or PySpark is not installed.
    """
    minor = _spark_minor() if version is None else _minor_of(version)
    if minor not in _SPARK_MINORS:
        raise MissingDependencyError(
            code=ErrorCode.SPARK_VERSION,
            what="this version of Spark does not work with sparkscore",
            got=f"{'PySpark' if version is None else 'a session of Spark'} {minor}",
            expected=f"one of {names(_SPARK_MINORS)}",
            next_step=f"Run: {_LOCAL_INSTALL}, or use {_RUNTIMES}.",
        )


def check_pyspark() -> None:
    """Check that a supported version of PySpark is installed, and that this process does not use Spark Connect.

    Raises:
        MissingDependencyError: PySpark is missing, its version is not supported, or only its Spark Connect client is
            installed.
        ConfigError: this process uses Spark Connect.
    """
    check_spark_version()
    if find_spec("py4j") is None:
        raise MissingDependencyError(
            code=ErrorCode.PYSPARK_MISSING,
            what="a local session cannot start with the package pyspark-client, which has no Spark",
            next_step=f"Run: {_LOCAL_INSTALL} in an environment without pyspark-client. Or use a Spark Connect server: "
            "SparkSession.builder.remote('sc://HOST:15002').getOrCreate(), on the command line --remote.",
        )
    from pyspark.sql import is_remote  # noqa: PLC0415 - this module works without it

    if is_remote():
        raise ConfigError(
            code=ErrorCode.CONNECT_SESSION,
            what="a local session cannot start in this process, which uses Spark Connect",
            next_step="Pass the Spark Connect session to 'score'. Or, for a local session, unset SPARK_REMOTE and "
            "SPARK_CONNECT_MODE_ENABLED and start a new Python process.",
        )


def pyspark_version() -> str:
    """Return the version of PySpark, or of its Spark Connect client.

    Raises:
        MissingDependencyError: neither is installed.
    """
    try:
        import pyspark  # noqa: PLC0415 - the core of sparkscore is installed without it
    except ImportError as error:
        raise MissingDependencyError(
            code=ErrorCode.PYSPARK_MISSING,
            what="the package pyspark is not installed",
            next_step=f"Run: {_LOCAL_INSTALL}; on a cluster, use its Python.",
        ) from error
    return str(pyspark.__version__)


def _spark_minor() -> str:
    return _minor_of(pyspark_version())


def _minor_of(version: str) -> str:
    return ".".join(version.split(".")[:2])
