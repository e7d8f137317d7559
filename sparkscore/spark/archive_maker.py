"""Make an archive of Spark's classes, for `sparkscore env classes`. Runs on the driver.

A session is started, does a little of what runs do, and ends; its Java then writes the archive. Only a complete archive
gets its name: one of a Java that ended well.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.find_spark_home import _find_spark_home

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import MissingDependencyError
from sparkscore.removal import remove_file, temporary_folder
from sparkscore.spark.class_archive import VARIABLE, place_of_archive, put_archive, whole_archive, why_unused
from sparkscore.spark.jvm_launch import SUBMIT_OPTIONS
from sparkscore.spark.jvm_session import running_gateway
from sparkscore.spark.map_in_arrow import run_in_arrow
from sparkscore.spark.prerequisites import check_java, has_delta_release
from sparkscore.spark.session import local_session
from sparkscore.spark.settings import read_from, write_to_delta

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_SECONDS_TO_END: Final = 600


def make_archive(spark_home: Path | None = None) -> tuple[Path, bool]:
    """Make the archive for this Java and this Spark, unless there is one. Delta's jar may be downloaded.

    Args:
        spark_home: the folder of Spark, or None for that of the installed PySpark or of ``SPARK_HOME``.

    Returns:
        the archive, and whether this call has made it.

    Raises:
        MissingDependencyError: Java is missing or too old, Spark does not start, there is no safe place for the
            archive, the user's own options forbid it, another process is making it, or Java did not write it.
    """
    check_java()
    if reason := why_unused({}):
        raise _refused(f"no Java would use it, because {reason}", "Unset it, or go on without an archive.")
    place = place_of_archive(spark_home or Path(_find_spark_home()))
    if place is None:
        raise _refused(
            "there is no safe place for it",
            "Set XDG_CACHE_HOME to a folder that only you can write, without blanks in its path.",
        )
    with _alone(place.with_name(f"{place.name}.lock")) as is_alone:
        if not is_alone:
            raise _refused("another process is making it", "Wait until that has ended.")
        found = whole_archive(place)
        return (_made(place), True) if found is None else (found, False)


def _made(place: Path) -> Path:
    unfinished = place.with_name(f"{place.name}.unfinished")
    try:
        remove_file(unfinished)  # of a process that was killed
        if not write_archive(unfinished, with_delta=has_delta_release()):
            raise _refused("Java ended without writing it", "See whether the disk is full; runs work without it.")
        return put_archive(unfinished, place)
    except OSError as error:
        raise _refused(error.strerror or type(error).__name__, f"Make room in '{place.parent}'.") from error
    finally:
        remove_file(unfinished)


def write_archive(file: Path, *, with_delta: bool) -> bool:
    """Start a session, use it, and let its Java write an archive when it ends. Return whether Java ended well.

    Args:
        file: path of the archive.
        with_delta: whether to use Delta as well. Its jar may be downloaded.
    """
    os.environ[VARIABLE] = "off"
    os.environ[SUBMIT_OPTIONS] = f'{os.environ.get(SUBMIT_OPTIONS, "")} -XX:ArchiveClassesAtExit="{file}"'.strip()
    with temporary_folder("sparkscore-archive-") as folder:
        spark = local_session(master="local[1]", log_file=folder / "spark.log", delta=with_delta)
        java: Any = running_gateway().proc  # type: ignore[union-attr]  # there is one: it was just started
        try:
            _use(spark, folder, with_delta=with_delta)
            spark.stop()
            java.stdin.close()
            return bool(java.wait(_SECONDS_TO_END) == 0 and file.exists())
        except subprocess.TimeoutExpired:
            return False
        finally:
            # If this was interrupted, Java would write the archive after the caller has removed it.
            java.kill()
            java.wait()


def _use(spark: SparkSession, folder: Path, *, with_delta: bool) -> None:
    """Let Spark load the classes for what runs do: read files, and run tasks in Python."""
    rows = pa.table({"id": [1, 2, 3]})
    pq.write_table(rows, folder / "rows.parquet")
    frame = read_from(spark, "parquet").load(str(folder / "rows.parquet"))
    run_in_arrow(spark, frame, lambda batches: batches, rows.schema)
    if with_delta:
        table = str(folder / "table")
        write_to_delta(frame, {}).save(table)
        read_from(spark, "delta").load(table).limit(2).toArrow()


@contextmanager
def _alone(lock: Path) -> Iterator[bool]:
    """Yield whether this process is the only one that works on an archive."""
    with lock.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def _refused(got: str, next_step: str) -> MissingDependencyError:
    return MissingDependencyError(
        code=ErrorCode.CLASS_ARCHIVE,
        what="Spark's classes cannot be archived",
        got=got,
        state="Nothing is lost: runs work without an archive.",
        next_step=next_step,
    )
