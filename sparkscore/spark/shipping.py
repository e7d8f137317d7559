"""Send sparkscore itself and the files of models to workers on other hosts, as artifacts of the Spark session.

With a local master, workers run on the driver's machine with the driver's Python, so nothing is sent. With any other
master, workers may not have these files on their disks.

Runs on the driver, except `shipped_folder`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

from pyspark.sql import SparkSession

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ScoringError
from sparkscore.removal import put_in_place, remove_file
from sparkscore.spark.connect import is_connect
from sparkscore.spark.errors import SPARK_ERRORS, condition_of
from sparkscore.spark.local_master import is_local
from sparkscore.spark.package_zip import pack_package
from sparkscore.spark.sent_folder import sent_folder
from sparkscore.spark.settings import setting_of

_OWN_PACKAGE: Final = "sparkscore itself"

# Global variables on purpose: several runs can share a session, and Spark refuses a second file with the same name in a
# session.
_lock = threading.Lock()
_sent: WeakKeyDictionary[SparkSession, set[str]] = WeakKeyDictionary()


def has_other_hosts(spark: SparkSession) -> bool:
    """Return whether workers may run on hosts other than the driver's.

    This is the case for every master except ``local`` and ``local[...]``, and always with Spark Connect, because the
    server may run anywhere.
    """
    return is_connect(spark) or not is_local(setting_of(spark, "spark.master") or "")


def ship_package(spark: SparkSession) -> None:
    """Send sparkscore to a session's workers, so that they import the driver's version of it.

    The package is sent as a ZIP archive, once per session. It takes precedence over a version that is installed in the
    workers' Python. With a local master, nothing is sent, because workers use the driver's Python.

    Raises:
        ScoringError: the archive cannot be written, or Spark does not accept it.
    """
    if not has_other_hosts(spark):
        return
    with _lock, _reporting(_OWN_PACKAGE):
        archive = _packed_package()
        sent = _sent.setdefault(spark, set())
        if archive.name not in sent:
            before = list(sys.path)
            spark.addArtifacts(_address(spark, archive), pyfile=True)
            # Without Spark Connect, PySpark also adds the archive to this process's own import path.
            sys.path[:] = [path for path in sys.path if path in before or Path(path).name != archive.name]
            sent.add(archive.name)


def ship_file(spark: SparkSession, name: str, what: str, write: Callable[[Path], object]) -> None:
    """Send a file to all workers of a session, unless a file with this name has already been sent.

    On the workers, the file is in the folder that `shipped_folder` returns.

    Args:
        spark: the session.
        name: file name, which must contain a digest of the file's content.
        what: a description of the file for the error message.
        write: function that writes the file to a given path. It is not called if the file was already written or sent.

    Raises:
        ScoringError: the file cannot be written, or Spark does not accept it.
    """
    with _lock, _reporting(what):
        sent = _sent.setdefault(spark, set())
        if name in sent:
            return
        file = sent_folder() / name
        if not file.exists():
            unfinished = file.with_name(f"{name}.unfinished")
            try:
                write(unfinished)
                put_in_place(unfinished, file)
            finally:
                remove_file(unfinished)
        spark.addArtifacts(_address(spark, file), file=True)
        sent.add(name)
        if is_connect(spark):  # The server has a copy. Without Spark Connect, executors get the file from here.
            remove_file(file)


def shipped_folder() -> str:
    """Return the absolute path of this host's folder with the files that `ship_file` sent. Runs on a worker."""
    from pyspark import SparkFiles  # noqa: PLC0415 - a driver's pyspark-client does not have it

    return str(Path(SparkFiles.getRootDirectory()).absolute())


@cache
def _packed_package() -> Path:
    return pack_package(sent_folder())


def _address(spark: SparkSession, file: Path) -> str:
    """Return a file's path in the form that `addArtifacts` expects: a URI for Spark Connect, or else a plain path.

    Spark Connect treats the argument as a URI, so special characters must be quoted: in a plain path, ``a#b`` or
    ``a%20b`` would name a different folder. Without Spark Connect, PySpark opens the file by its path, to compare it
    with a file of the same name that was added before.
    """
    return file.as_uri() if is_connect(spark) else str(file)


@contextmanager
def _reporting(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _not_sent(what, error.strerror or type(error).__name__) from error
    except SPARK_ERRORS as error:
        raise _not_sent(what, condition_of(error)) from error


def _not_sent(what: str, got: str) -> ScoringError:
    return ScoringError(
        code=ErrorCode.NOT_SENT,
        what=f"{what} cannot be sent to the workers",
        got=got,
        state="Nothing was published.",
        next_step="Make room in the driver's folder for temporary files (TMPDIR), whose path must have no '#'; "
        "Spark's whole message is in the log.",
    )
