"""Check, in one small Spark job, which folders the workers have access to and which packages they have.

Runs on the driver, except the function nested in `_ask_function`, which runs on the workers.
"""

from __future__ import annotations

import json
import os
import pickle
import platform
import pwd
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final

import pyarrow as pa
from pyspark.sql import SparkSession

from sparkscore.error_codes import ErrorCode
from sparkscore.spark.jobs import task_slots
from sparkscore.spark.map_in_arrow import ArrowFunction, run_in_arrow
from sparkscore.spark.settings import setting_of
from sparkscore.worker.host import HostCheck
from sparkscore.worker.host_problem import Host, Problem

_MOST_TASKS: Final = 200
_ANSWERS: Final = pa.schema([("answer", pa.string())])
#: Packages whose versions workers report.
PACKAGES: Final = ("numpy", "pandas", "pyarrow")


@dataclass(frozen=True)
class Answer:
    """The result of one task, which checked its worker.

    Attributes:
        host: the worker's host, user and Python.
        versions: versions of `PACKAGES` on the worker, by package name. An empty string if a package is missing.
        proofs: names of the files that the task wrote, one for each of `HostCheck.places`. Empty if there is a problem.
        problem: why the worker cannot score items of the run, or None.
    """

    host: Host
    versions: Mapping[str, str]
    proofs: tuple[str, ...]
    problem: Problem | None


def application_of(spark: SparkSession) -> str:
    """Return the id of the Spark application, or an empty string if the session does not provide it."""
    return setting_of(spark, "spark.app.id") or ""


def ask_hosts(spark: SparkSession, check: HostCheck) -> list[Answer]:
    """Check some worker processes in one Spark job, and return one answer per task.

    The job has as many tasks as can run at the same time, up to 200.

    Args:
        spark: the session.
        check: the conditions that each worker must meet.

    Raises:
        SparkscoreError: the job failed, for example because Python does not start on a worker.
    """
    count = max(1, min(task_slots(spark), _MOST_TASKS))
    # The function must not refer to this package, which the workers may not have.
    function = _ask_function(pickle.dumps(check))
    answers = run_in_arrow(spark, spark.range(0, count, 1, count), function, _ANSWERS, is_bare=True)
    return [_answer_of(json.loads(answer)) for answer in answers["answer"].to_pylist()]


def _answer_of(told: Mapping[str, Any]) -> Answer:
    host = Host(told["name"], told["user"], told["uid"], told["python"], told["executable"])
    problem = told.get("problem")
    found = None if problem is None else Problem(**{**problem, "code": ErrorCode(problem["code"])})
    return Answer(host, told["versions"], tuple(told.get("proofs", ())), found)


def _ask_function(pickled: bytes) -> ArrowFunction:
    # This function refers to no object of this package: to unpickle it, a worker would have to import the package.
    packages = PACKAGES

    def ask(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Check this worker process, and yield the answer as JSON. Runs on a worker, which may lack sparkscore."""

        def version(package: str) -> str:
            try:
                return metadata.version(package)
            except metadata.PackageNotFoundError:
                return ""

        def user() -> str:
            try:
                return pwd.getpwuid(os.geteuid()).pw_name
            except KeyError:
                return ""

        told = {"name": socket.gethostname(), "user": user(), "uid": os.geteuid(), "executable": sys.executable}
        told |= {"python": platform.python_version(), "versions": {name: version(name) for name in packages}}
        try:
            from sparkscore.worker.host import write_proofs  # noqa: PLC0415 - the worker may lack it

            check = pickle.loads(pickled)  # noqa: S301 - from the driver
        except (ImportError, AttributeError) as error:
            is_missing = isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("sparkscore.")
            other = f"sparkscore {version('sparkscore') or 'of another version'}"
            got = f"no module '{error.name}'" if is_missing else other
            told["problem"] = {"code": "PACKAGE_MISSING", "path": sys.executable, "got": got}
        else:
            found = write_proofs(check)
            told |= {"proofs": found} if isinstance(found, list) else {"problem": vars(found)}
        rows = [{"answer": json.dumps(told)} for batch in batches for _ in range(batch.num_rows)]
        yield pa.RecordBatch.from_pylist(rows, schema=pa.schema([("answer", pa.string())]))

    return ask
