"""Start Spark with the jars of Delta that Ivy has found before, instead of asking Ivy at each start.

Runs on the driver.

Ivy reads its settings, the descriptions of all packages and its own reports at each start, also if all jars are in its
cache. Here, the files that Ivy gave Spark are noted with their sizes and times. While these files are unchanged, a
later start with the same request names the files instead of the package. Nothing is guessed: a package that Ivy has not
resolved on this machine for this user is always left to Ivy.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sparkscore.spark.user_cache import read_fact, user_cache, write_fact

_PACKAGES: Final = "spark.jars.packages"
_EXCLUDES: Final = "spark.jars.excludes"
_JARS: Final = "spark.jars"
# Other packages may also bring Python modules, or have a version that changes.
_DELTA: Final = re.compile(r"io\.delta:delta-spark_[0-9.]+_2\.13:[0-9.]+")
_PLAIN: Final = re.compile(r"/[A-Za-z0-9._/+@=-]+")
# Settings with which Ivy looks elsewhere, or which name further files for Java's class path.
_OF_THE_USER: Final = (
    _JARS,
    "spark.files",
    "spark.jars.ivy",
    "spark.jars.ivySettings",
    "spark.jars.repositories",
    "spark.submit.pyFiles",
)


def with_known_jars(settings: Mapping[str, str], spark_home: Path) -> dict[str, str]:
    """Return the settings with the files of Delta's package instead of the package, or unchanged if Ivy must be asked.

    Args:
        settings: the Spark settings with which a JVM is started.
        spark_home: the folder of Spark.
    """
    file = _note_of(settings, spark_home)
    noted = None if file is None else read_fact(file)
    if not isinstance(noted, dict) or not noted:
        return dict(settings)
    paths: dict[str, object] = noted
    if any((facts := _facts_of(path)) is None or facts != paths[path] for path in paths):
        return dict(settings)
    kept = {key: value for key, value in settings.items() if key not in {_PACKAGES, _EXCLUDES}}
    return kept | {_JARS: ",".join(paths)}


def note_jars(settings: Mapping[str, str], spark_home: Path, jars: str) -> None:
    """Note the files that Ivy gave for Delta's package, if a later start may use them. No error is raised.

    Args:
        settings: the settings with which the JVM was started.
        spark_home: the folder of Spark.
        jars: Spark's setting ``spark.jars`` in the JVM: URIs or paths, separated by commas.
    """
    file = _note_of(settings, spark_home)
    paths = [_path_in(jar) for jar in jars.split(",")]
    noted = {path: facts for path in paths if path is not None and (facts := _facts_of(path)) is not None}
    if file is not None and len(noted) == len(paths):
        write_fact(file, noted)


def _note_of(settings: Mapping[str, str], spark_home: Path) -> Path | None:
    """Return the path of the note for a start, or None if Ivy must be asked."""
    package = settings.get(_PACKAGES, "")
    if not _DELTA.fullmatch(package) or any(settings.get(key) for key in _OF_THE_USER):
        return None
    # These may have further packages, jars or settings of Ivy.
    has_own_arguments = os.environ.get("PYSPARK_SUBMIT_ARGS", "pyspark-shell").strip() != "pyspark-shell"
    if has_own_arguments or defaults_of(spark_home).exists():
        return None
    folder = user_cache()
    if folder is None:
        return None
    request = [package, settings.get(_EXCLUDES, ""), str(spark_home), str(Path.home())]
    return folder / f"jars-{hashlib.sha256(json.dumps(request).encode()).hexdigest()[:16]}.json"


def defaults_of(spark_home: Path) -> Path:
    """Return the path of the file with Spark's default settings, which may be missing."""
    return Path(os.environ.get("SPARK_CONF_DIR") or spark_home / "conf", "spark-defaults.conf")


def _path_in(jar: str) -> str | None:
    """Return the path of a jar on this machine, or None if it is elsewhere or Spark may read its path otherwise."""
    parts = urlsplit(jar.strip())
    return parts.path if parts.scheme in {"", "file"} and not parts.netloc and _PLAIN.fullmatch(parts.path) else None


def _facts_of(path: str) -> list[int] | None:
    """Return the size and the modification time of a file, or None if there is no such file."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    return [found.st_size, found.st_mtime_ns]
