"""Start a Spark session, with Delta if Delta has a release for this version of Spark. Runs on the driver."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from sparkscore.record.listing import runs_folder
from sparkscore.spark.jvm_launch import SHOWN_WITHOUT
from sparkscore.spark.local_master import is_local
from sparkscore.spark.prerequisites import DELTA_EXTENSION, check_pyspark, delta_coordinate, has_delta_release

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Dependencies of Delta that every Spark 4 ships with. Spark's class loader prefers the shipped jars, so copies from
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
_DELTA_CATALOG = "org.apache.spark.sql.delta.catalog.DeltaCatalog"
_NAMES_DELTA = re.compile(r"delta[-_]|[./]delta\b", re.IGNORECASE)
_NO_CONF: Mapping[str, str] = MappingProxyType({})


def local_session(
    *,
    master: str = "local[*,4]",
    conf: Mapping[str, str] = _NO_CONF,
    log_file: str | Path | None = None,
    app_name: str = "sparkscore",
    delta: bool = True,
) -> SparkSession:
    """Start Spark with Delta in this process, or return the active session unchanged.

    Delta is left out for versions of Spark that no release of Delta supports yet, such as Spark 4.3. Spark then cannot
    read or write Delta tables. Results whose files the workers write can still be committed to Delta tables.

    If no JVM is running yet, one is started. The output of Spark, Ivy and local workers is then appended to the log
    file instead of printed on the terminal. With a local master, ``PYSPARK_PYTHON`` is also set, so that workers use
    this process's Python.

    After ``stop()``, the next session reuses the first session's JVM, with its jars, memory and log file. If
    ``spark-submit`` started this process, the session uses the JVM of ``spark-submit``. In that case, the
    ``spark-submit`` settings, such as the master, override all settings made by this function, except those in
    ``conf``. Spark then logs warnings and errors only, unless ``spark.log.level`` is set.

    Args:
        master: a Spark master URL. ``local[*,4]`` runs each task up to four times if it fails.
        conf: Spark settings, which override all others. If they set packages or SQL extensions without Delta, Delta is
            added.
        log_file: file for the output of the JVM, if one is started. The default is ``spark.log`` in the runs folder.
        app_name: the application name that Spark shows.
        delta: whether to load Delta. Without Delta, Spark starts faster, but cannot read or write Delta tables, also in
            later sessions of this process. If Delta is named in ``conf``, in ``PYSPARK_SUBMIT_ARGS``
            or in Spark's defaults file, or if the JVM of ``spark-submit`` has its jar, it is loaded anyway.

    Returns:
        the active session, or a new one. The time zone of a new session is UTC unless ``conf`` or ``spark-submit`` sets
            a different one.

    Raises:
        ConfigError: this process uses Spark Connect, the log file cannot be written, a Java option contains a secret,
            or the current user id has no user name.
        MissingDependencyError: PySpark, delta-spark, Java, or the jar of Delta or another package is missing; PySpark
            or Java has an unsupported version; or Java or Spark does not start.
    """
    check_pyspark()
    # Imported only now, because the module imports PySpark, which `check_pyspark` has found to be installed.
    from sparkscore.spark import jvm_session  # noqa: PLC0415

    active = jvm_session.active_session()
    if active is not None:
        return active
    log = Path(log_file) if log_file else runs_folder() / "spark.log"
    gateway = jvm_session.running_gateway()
    submitted = jvm_session.submitted_settings(gateway)
    if submitted:
        # spark-submit writes Spark's log to the terminal. Otherwise, the result would be lost among hundreds of lines.
        submitted.setdefault("spark.log.level", "WARN")
    given = {**submitted, **conf}
    # With spark-submit, Delta's jar may be there without a setting that names it, in Spark's own folder.
    is_there = submitted and gateway is not None and jvm_session.has_delta_jar(gateway)
    delta = delta or bool(is_there) or _names_delta(given, jvm_session.defaults_file())
    settings = _settings(master, given, app_name, delta=delta)
    gateway = gateway or jvm_session.launch_jvm(settings, log)
    return jvm_session.create_session(settings, gateway, log)


def _settings(master: str, given: Mapping[str, str], app_name: str, *, delta: bool) -> dict[str, str]:
    settings = {
        "spark.app.name": app_name,
        "spark.databricks.delta.snapshotPartitions": "2",
        # Delta's reader ignores options of the Parquet reader, so this setting makes it verify the checksums of pages.
        "spark.hadoop.parquet.page.verify-checksum.enabled": "true",
        "spark.jars.excludes": ",".join(_IN_SPARK_ALREADY),
        "spark.master": master,
        "spark.python.worker.faulthandler.enabled": "true",
        "spark.redaction.regex": SHOWN_WITHOUT,
        # HotSpot does not compile larger methods. Spark then divides its generated code into many small ones.
        "spark.sql.codegen.hugeMethodLimit": "8000",
        # The value in a folder name such as day=007 stays a string.
        "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "4",
        # Otherwise Spark would create this folder in the working directory.
        "spark.sql.warehouse.dir": str(runs_folder() / "spark-warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    if given.get("spark.master", master).startswith("local"):
        settings |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    if is_local(given.get("spark.master", master)):
        # Other users of this machine can reach Spark's ports, so connections need a secret. Spark generates the secret
        # and keeps it in memory.
        settings["spark.authenticate"] = "true"
    return {**settings, **given, **(_with_delta(given) if delta else {})}


def _names_delta(given: Mapping[str, str], defaults: Path) -> bool:
    """Return whether a user's settings name Delta. Its classes, such as a catalog, may then be missing without it.

    Args:
        given: the user's Spark settings.
        defaults: path of the file with Spark's defaults, which may be missing.
    """
    texts = [*given, *given.values(), os.environ.get("PYSPARK_SUBMIT_ARGS", "")]
    try:
        texts.append(defaults.read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        pass
    except OSError:  # Spark will report it
        return True
    return any(map(_NAMES_DELTA.search, texts))


def _with_delta(given: Mapping[str, str]) -> dict[str, str]:
    """Return the settings for packages, SQL extensions and the catalog, with Delta added where it is missing.

    If no release of Delta exists for this version of Spark, Delta is added only if ``given`` names a Delta package or
    jar.
    """
    packages, extensions = given.get("spark.jars.packages", ""), given.get("spark.sql.extensions", "")
    if "delta" not in packages and has_delta_release():
        packages = _joined(delta_coordinate(), packages)
    if "delta" in packages + given.get("spark.jars", "") and "delta" not in extensions:
        extensions = _joined(DELTA_EXTENSION, extensions)
    settings = {"spark.jars.packages": packages, "spark.sql.extensions": extensions}
    if "delta" in extensions:
        settings["spark.sql.catalog.spark_catalog"] = given.get("spark.sql.catalog.spark_catalog", _DELTA_CATALOG)
    return {key: value for key, value in settings.items() if value}


def _joined(delta: str, own: str) -> str:
    return ",".join(filter(None, (delta, own)))
