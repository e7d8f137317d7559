"""`sparkscore doctor`: check what a run needs, and print the result of each check.

Runs on the driver and the workers.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sparkscore.cli.interrupts import interruptible
from sparkscore.cli.reply import FAILED, OK, coloured, print_json, to_stdout
from sparkscore.cli.run_command import spark_session
from sparkscore.cli.spark_options import SparkOptions
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SparkscoreError
from sparkscore.record.listing import runs_folder
from sparkscore.spark.connect_session import check_packages, check_url
from sparkscore.spark.prerequisites import (
    check_java,
    check_pyspark,
    check_spark_version,
    delta_coordinate,
    has_delta_release,
    java_version,
    pyspark_version,
)
from sparkscore.worker.versions import versions_here

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_GREEN, _RED = "\033[32m", "\033[1;31m"


@dataclass(frozen=True)
class DoctorRequest:
    """The options of `sparkscore doctor`.

    Attributes:
        output: output folder to check, or None to skip this check.
        runs: path of the runs folder, or None for the default folder.
        spark: options for starting Spark or connecting to a server.
        is_quick: whether to skip the check that starts Spark.
    """

    output: Path | None
    runs: Path | None
    spark: SparkOptions
    is_quick: bool = False


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: what was checked.
        ok: whether the check passed.
        found: what the check found, such as a version or a path.
        next_step: what the user should do if the check failed.
    """

    name: str
    ok: bool
    found: str
    next_step: str = ""


def examine(request: DoctorRequest, *, as_json: bool) -> int:
    """Run all checks and print each result, or all results as one JSON object.

    The workers are not checked if `request.is_quick` is set, or if the Java or Spark check failed.

    Returns:
        the exit code: 0 if all checks passed, otherwise 1.
    """
    checks = []
    for check in _checks(request):
        checks.append(check)
        if not as_json:
            _print(check)
    is_ok = all(check.ok for check in checks)
    if as_json:
        print_json({"ok": is_ok, "checks": [asdict(check) for check in checks]})
    return OK if is_ok else FAILED


def _checks(request: DoctorRequest) -> Iterator[Check]:
    yield Check("Python", ok=True, found=f"{platform.python_version()}, {sys.executable}")
    yield _guarded("pandas", _check_pandas)
    needed = tuple(_guarded(name, check) for name, check in _needed(request.spark))
    yield from needed
    if request.spark.server is None:
        yield _guarded("Delta jar", lambda: _check_delta(is_quick=request.is_quick))
    yield _check_folder("runs folder", runs_folder(request.runs))
    if request.output is not None:
        yield _check_folder("output", request.output)
    if not request.is_quick and all(check.ok for check in needed):
        yield _guarded("workers", lambda: _check_workers(request))


def _needed(spark: SparkOptions) -> list[tuple[str, Callable[[], Check]]]:
    """Return the name and the function of each check that must pass before the workers can be checked."""
    url = spark.server
    if url is None:
        return [("Java", _check_java), ("Spark", _check_spark)]
    return [("Spark Connect", lambda: _check_connect(url))]


def _print(check: Check) -> None:
    label = coloured("ok     ", _GREEN, sys.stdout) if check.ok else coloured("problem", _RED, sys.stdout)
    to_stdout(f"  {check.name:<12} {check.found}", label=label)
    if not check.ok:
        to_stdout(f"         {'':<12} Next: {check.next_step}")


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except SparkscoreError as error:
        found = f"{error.what}: got {error.got}" if error.got else error.what
        return Check(name, ok=False, found=f"[{error.code}] {found}", next_step=error.next_step)


def _check_pandas() -> Check:
    found = importlib.metadata.version("pandas")
    return Check(
        "pandas",
        ok=int(found.partition(".")[0]) < 3,  # noqa: PLR2004 - PySpark 4.2 warns about pandas 3
        found=found,
        next_step="Run: pip install 'pandas>=2.2,<3'.",
    )


def _check_java() -> Check:
    check_java()
    home = os.environ.get("JAVA_HOME")
    return Check("Java", ok=True, found=f"{java_version()} ({f'JAVA_HOME {home}' if home else 'on the PATH'})")


def _check_spark() -> Check:
    check_pyspark()
    return Check("Spark", ok=True, found=pyspark_version())


def _check_connect(url: str) -> Check:
    server = check_url(url)
    check_packages()
    check_spark_version()
    return Check("Spark Connect", ok=True, found=f"PySpark {pyspark_version()} for the server at {server}")


def _check_delta(*, is_quick: bool) -> Check:
    if not has_delta_release():
        return Check("Delta jar", ok=True, found="not for this version of Spark yet: inputs and outputs can be Parquet")
    coordinate = delta_coordinate()
    cached = _cached_jar(coordinate)
    if cached is not None:
        return Check("Delta jar", ok=True, found=str(cached))
    # The last check starts Spark, which downloads the jar. If the download fails, that check reports why.
    when = "Spark downloads it at its start: run doctor without --quick" if is_quick else "Spark downloads it now"
    return Check("Delta jar", ok=True, found=f"{coordinate} is not here yet; {when}")


def _cached_jar(coordinate: str) -> Path | None:
    """Return the path of a jar in the local Ivy or Maven cache, or None if neither contains it.

    Args:
        coordinate: the jar's Maven coordinate, ``group:artifact:version``.
    """
    group, artifact, version = coordinate.split(":")
    jar = f"{artifact}-{version}.jar"
    maven = Path(".m2", "repository", *group.split("."), artifact, version, jar)
    found = [*Path.home().glob(f".ivy2*/jars/{group}_{jar}"), Path.home() / maven]
    return next((path for path in found if path.exists()), None)


def _check_folder(name: str, folder: Path) -> Check:
    """Check that a folder is writable. If it does not exist, check its closest existing parent instead."""
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            return Check(name, ok=True, found=f"{folder.absolute()} can be written")
    except OSError as error:
        option = "--output" if name == "output" else "--runs or SPARKSCORE_RUNS"
        return Check(
            name,
            ok=False,
            found=f"{folder.absolute()} cannot be written ({error.strerror})",
            next_step=f"Make '{existing}' writable, or name another folder with {option}.",
        )


def _check_workers(request: DoctorRequest) -> Check:
    # Imported only now, because the module imports PySpark, which an earlier check has found to be installed.
    from sparkscore.spark.connect import working_on

    log_file = runs_folder(request.runs) / "doctor.log"
    with (
        interruptible() as interrupts,
        spark_session(request.spark, log_file, interrupts) as session,
        working_on(session),
    ):
        on_worker = _versions_of_worker(session)
    on_driver = versions_here()
    differing = [name for name, version in on_driver.items() if on_worker.get(name) != version]
    found = ", ".join(f"{name} {on_worker.get(name)}" for name in on_driver)
    expected = ", ".join(f"{name} {on_driver[name]}" for name in differing)
    return Check(
        "workers",
        ok=not differing,
        found=found + (f"; the driver has {expected}" if differing else ", as on the driver"),
        next_step="Give the workers the driver's environment: set PYSPARK_PYTHON to the same Python on every machine.",
    )


def _versions_of_worker(session: SparkSession) -> dict[str, str]:
    """Run a one-row Spark job, and return the worker's versions of Python and some packages.

    If workers may run on hosts other than the driver's, this version of sparkscore is sent to them first.

    Raises:
        SparkscoreError: the job failed, for example because the worker's Python cannot start or lacks a package.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql.functions import udf

    from sparkscore.spark.connect_errors import connect_error_behind
    from sparkscore.spark.shipping import ship_package

    ship_package(session)
    versions = udf(lambda _: json.dumps(versions_here()), "string")
    try:
        row = session.range(1).select(versions("id")).first()
    except PySparkException as error:
        if connect_error_behind(error) is not None:
            raise
        reason = str(error).strip().splitlines()[-1][:200]
        raise _WorkerError(
            code=ErrorCode.WORKERS,
            what="the Python of the workers does not work",
            got=f"'{reason}'",
            state="",
            next_step="Install sparkscore and its packages for the workers' Python, which PYSPARK_PYTHON names.",
        ) from error
    return dict(json.loads(row[0])) if row else {}


class _WorkerError(SparkscoreError):
    """The Spark job that reads the versions of a worker's packages failed."""
