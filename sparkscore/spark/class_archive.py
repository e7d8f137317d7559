"""Let Java map the classes of Spark from an archive, instead of loading and checking each of them at each start.

Runs on the driver.

Java can write such an archive when it ends (AppCDS) and map it at a later start with the same Java and the same jars.
`sparkscore env classes` makes it in the user's cache folder; see `sparkscore.spark.archive_maker`. Java itself checks
that an archive fits its version and the jars, and ignores another one. It does not check that the file is complete: a
file that was cut short would end it with SIGBUS. So the size of an archive is part of its name, and a file of another
size is not used.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from sparkscore.removal import put_in_place, remove_file
from sparkscore.spark.jvm_launch import JAVA_OPTIONS, OPTIONS_OF_THE_USER
from sparkscore.spark.prerequisites import java_program
from sparkscore.spark.user_cache import is_ours_alone, user_cache

#: Variable with which a user turns the archive off.
VARIABLE: Final = "SPARKSCORE_CLASS_ARCHIVE"
_OFF: Final = frozenset({"off", "false", "no", "0"})
_ENDING: Final = ".jsa"
# For other versions of Java or Spark of the same user.
_MOST_ARCHIVES: Final = 3
_SECONDS_TO_KEEP: Final = 30 * 24 * 60 * 60
# Variables that change Java's class path.
_CLASS_PATHS: Final = (
    "HADOOP_CONF_DIR", "SPARK_CONF_DIR", "SPARK_DIST_CLASSPATH", "SPARK_PREPEND_CLASSES", "YARN_CONF_DIR",
)  # fmt: skip
_OWN_ARCHIVE: Final = re.compile(r"-Xshare|SharedArchiveFile|ArchiveClassesAtExit|SharedClassListFile|-javaagent")
_PLAIN: Final = re.compile(r"/[\w./+@=-]+", re.ASCII)


def find_archive(settings: Mapping[str, str], spark_home: Path) -> Path | None:
    """Return the archive for a JVM with these settings, or None if there is none or the user does not want one.

    Args:
        settings: the Spark settings with which the JVM is started.
        spark_home: the folder of Spark.
    """
    place = None if why_unused(settings) else place_of_archive(spark_home)
    return None if place is None else whole_archive(place)


def options_for(archive: Path) -> str:
    """Return the option with which Java uses an archive. If the archive does not fit, Java ignores it."""
    return f"-XX:SharedArchiveFile={archive}"


def discard_archive(archive: Path) -> bool:
    """Remove an archive with which Java did not start, and return whether it is gone."""
    with suppress(OSError):
        remove_file(archive)
    return not archive.exists()


def place_of_archive(spark_home: Path) -> Path | None:
    """Return where the archive for this Java and these jars belongs, without the size and the ending of its name.

    Return None if there is no safe place for it, or if its name would have to be quoted on a command line.
    """
    java, cache = java_program(), user_cache()
    if java is None or cache is None or not _PLAIN.fullmatch(str(cache)):
        return None
    try:
        home = Path(java).resolve(strict=True).parents[1]
        jars = sorted(map(str, map(_facts_of, (spark_home / "jars").iterdir())))
        javas = [_facts_of(home / name) for name in ("bin/java", "lib/modules", "lib/server/libjvm.so", "release")]
    except (OSError, IndexError):
        return None
    parts = [str(home), javas, str(spark_home), jars, {name: os.environ.get(name) for name in _CLASS_PATHS}]
    return cache / f"classes-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"


def whole_archive(place: Path) -> Path | None:
    """Return the archive at a place if there is one of the size that its name says."""
    for file in place.parent.glob(f"{place.name}-*{_ENDING}"):
        with suppress(OSError):  # another process may be removing it
            if is_ours_alone(file) and str(file.stat().st_size) == file.stem.rpartition("-")[2]:
                return file
    return None


def put_archive(unfinished: Path, place: Path) -> Path:
    """Give a complete archive its name, and remove archives that are older than a month, except the newest.

    Raises:
        OSError: the archive cannot be renamed, or another one cannot be removed.
    """
    archive = place.with_name(f"{place.name}-{unfinished.stat().st_size}{_ENDING}")
    put_in_place(unfinished, archive)
    newest_first = sorted(place.parent.glob(f"classes-*{_ENDING}"), key=lambda file: -file.stat().st_mtime)
    for other in newest_first[_MOST_ARCHIVES:]:
        # A Java on another host may have mapped a file of a shared home, and would end if the file was removed.
        if time.time() - other.stat().st_mtime > _SECONDS_TO_KEEP:
            remove_file(other)
    return archive


def why_unused(settings: Mapping[str, str]) -> str | None:
    """Return why a JVM with these settings is always started without an archive, or None if it may have one.

    The user may have turned archives off, or may have options or a class path that the archive does not fit.
    """
    if os.environ.get(VARIABLE, "").strip().lower() in _OFF:
        return f"the variable {VARIABLE} turns it off"
    options = {name: os.environ.get(name, "") for name in OPTIONS_OF_THE_USER}
    options |= {key: settings.get(key, "") for key in JAVA_OPTIONS}
    for name, given in options.items():
        if found := _OWN_ARCHIVE.search(given):
            return f"{name} has {found[0]}"
    if settings.get("spark.driver.extraClassPath"):
        return "spark.driver.extraClassPath is set"
    # The option --driver-class-path may be among the arguments of spark-submit.
    if "class-path" in os.environ.get("PYSPARK_SUBMIT_ARGS", ""):
        return "PYSPARK_SUBMIT_ARGS has a class path"
    return None


def _facts_of(path: Path) -> list[object] | None:
    """Return name, size and modification time of a file, or None if there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [path.name, found.st_size, found.st_mtime_ns]
