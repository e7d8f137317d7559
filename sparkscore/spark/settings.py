"""Pin the Spark options and settings that could otherwise change a result. Runs on the driver.

Only this module sets the options of readers and writers, and changes the settings of a running session. Options are
preferred, because they belong to one DataFrame and apply whenever Spark computes it. Where no option exists, the
session setting is changed while an action runs, and restored afterwards.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from weakref import WeakKeyDictionary

from pyspark.sql import DataFrame, DataFrameReader, DataFrameWriter, SparkSession

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.spark.connect import cancel_operations
from sparkscore.spark.connect_errors import connect_error_behind
from sparkscore.spark.errors import SPARK_ERRORS
from sparkscore.spark.jvm_conf import written_settings

logger = logging.getLogger("sparkscore")

_NO_OPTIONS: Final[Mapping[str, str]] = MappingProxyType({})
# A deployment's 'input.options' may override these; the session's settings may not.
_READ_OPTIONS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "csv": {"columnNameOfCorruptRecord": "_corrupt_record", "columnPruning": "true", "timeZone": "UTC"},
        "json": {"columnNameOfCorruptRecord": "_corrupt_record", "timeZone": "UTC"},
        "parquet": {"datetimeRebaseMode": "CORRECTED", "int96RebaseMode": "CORRECTED"},
    }
)
# A corrupt or missing file must never be skipped, and no option may change that.
_ALL_FILES: Final = {"ignoreCorruptFiles": "false", "ignoreMissingFiles": "false"}
# Makes Spark verify the checksum of each page that has one. By default, it does not.
# Source: parquet-hadoop's ParquetInputFormat.PAGE_VERIFY_CHECKSUM_ENABLED.
_VERIFIED_PAGES: Final = {"parquet.page.verify-checksum.enabled": "true"}
_DELTA_WRITE_OPTIONS: Final = {"mergeSchema": "false", "partitionOverwriteMode": "static"}

#: Stands for the installed Spark version's default value.
DEFAULT: Final = None
#: Settings that can change the rows and have no corresponding option, or none that Delta's reader accepts.
PINNED: Final[Mapping[str, str | None]] = MappingProxyType(
    {
        # Files and rows that are skipped.
        "spark.sql.files.ignoreCorruptFiles": "false",
        "spark.sql.files.ignoreInvalidPartitionPaths": "false",
        "spark.sql.files.ignoreMissingFiles": "false",
        "spark.sql.parquet.respectSummaryFiles": "false",
        "spark.sql.sources.useV1SourceList": DEFAULT,
        "spark.sql.sources.validatePartitionColumns": "true",
        # Dates and timestamps.
        "spark.sql.legacy.csv.enableDateTimeParsingFallback": DEFAULT,
        "spark.sql.legacy.json.enableDateTimeParsingFallback": DEFAULT,
        "spark.sql.legacy.parquet.nanosAsLong": "false",
        "spark.sql.legacy.timeParserPolicy": "CORRECTED",
        "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
        "spark.sql.parquet.inferTimestampNTZ.enabled": "true",
        "spark.sql.parquet.int96AsTimestamp": "true",
        "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
        "spark.sql.parquet.int96TimestampConversion": "false",
        "spark.sql.timestampType": "TIMESTAMP_LTZ",
        # Strings.
        "spark.sql.charAsVarchar": "false",
        "spark.sql.legacy.charVarcharAsString": "false",
        "spark.sql.legacy.codingErrorAction": "false",
        "spark.sql.parquet.binaryAsString": "false",
        "spark.sql.preserveCharVarcharTypeInfo": "false",
        "spark.sql.readSideCharPadding": "true",
        # Whether a value becomes NULL or raises an error, and which one of duplicate values is used.
        "spark.sql.ansi.enabled": "true",
        "spark.sql.json.enableExactStringParsing": "true",
        "spark.sql.json.enablePartialResults": "true",
        "spark.sql.legacy.json.allowEmptyString.enabled": "false",
        "spark.sql.legacy.parquet.returnNullStructIfAllFieldsMissing": "false",
        "spark.sql.mapKeyDedupPolicy": "EXCEPTION",
        "spark.sql.storeAssignmentPolicy": "ANSI",
        # Names of columns, and string literals.
        "spark.sql.caseSensitive": "false",
        "spark.sql.parser.escapedStringLiterals": "false",
        "spark.sql.parser.quotedRegexColumnNames": "false",
        "spark.sql.timeTravelVersionKey": DEFAULT,
        # The newest version of a Delta table, and the content of its log.
        "spark.databricks.delta.commitInfo.enabled": "true",
        "spark.databricks.delta.history.metricsEnabled": "true",
        "spark.databricks.delta.normalizePartitionValuesOnRead": "true",
        "spark.databricks.delta.stalenessLimit": DEFAULT,
    }
)
#: Settings that matter only while a table is written.
PINNED_FOR_WRITING: Final[Mapping[str, str | None]] = MappingProxyType(
    {
        "spark.databricks.delta.convertEmptyToNullForStringPartitionCol": "true",
        "spark.databricks.delta.write.utcTimestampPartitionValues": "true",
        "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
        "spark.sql.parquet.int96RebaseModeInWrite": "CORRECTED",
        # With Spark's default, other readers convert times to nanoseconds since 1970, whose range ends in 2262.
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.parquet.writeLegacyFormat": "false",
        # Delta writes the timestamp of a partition into a folder name without an offset. In a time zone with daylight
        # saving time, one hour in autumn would be ambiguous.
        "spark.sql.session.timeZone": "UTC",
    }
)
# Source: https://docs.delta.io/latest/table-properties.html.
_DEFAULTS_FOR_TABLES: Final = "spark.databricks.delta.properties.defaults."
#: Settings that matter only if tasks read whole files: no file is split, and files are distributed evenly by number.
PINNED_FOR_WHOLE_FILES: Final[Mapping[str, str | None]] = MappingProxyType(
    {
        "spark.sql.files.maxPartitionBytes": f"{2**62}",
        "spark.sql.files.openCostInBytes": f"{2**40}",
    }
)


def read_from(spark: SparkSession, file_format: str, options: Mapping[str, str] = _NO_OPTIONS) -> DataFrameReader:
    """Return a DataFrame reader for a format, with options that override the session's settings.

    For Delta, only the options in ``options`` are set.

    Args:
        spark: the session.
        file_format: Spark's name for the format.
        options: additional reader options. For formats other than Delta, options that would make Spark skip corrupt or
            missing files, or not verify the checksums of Parquet pages, have no effect.
    """
    always: Mapping[str, str] = {} if file_format == "delta" else _ALL_FILES
    if file_format == "parquet":
        always = {**always, **_VERIFIED_PAGES}
    return spark.read.format(file_format).options(**{**_READ_OPTIONS.get(file_format, {}), **options, **always})


def write_to_delta(frame: DataFrame, options: Mapping[str, str]) -> DataFrameWriter:
    """Return a DataFrame writer for Delta, with fixed options that override the session's settings.

    Call the writer's ``save`` inside `pinned_settings`.

    Args:
        frame: the rows to write.
        options: more writer options. They cannot change the fixed options.
    """
    return frame.write.format("delta").options(**{**options, **_DELTA_WRITE_OPTIONS})


@dataclass
class _Change:
    """A session setting that is changed while Spark actions run.

    Attributes:
        before: the previous value, or None if the setting was not set.
        users: number of running actions that need the changed value.
    """

    before: str | None
    users: int = 1


# Global variables on purpose. All threads of a process share a session's settings, so the actions that need a change
# are counted per session. If they were counted per run, one run could restore a setting that another run needs.
_lock = threading.Lock()
_changes: WeakKeyDictionary[SparkSession, dict[str, _Change]] = WeakKeyDictionary()
_defaults: WeakKeyDictionary[SparkSession, dict[str, str | None]] = WeakKeyDictionary()


@contextmanager
def pinned_settings(spark: SparkSession, *, for_writing: bool = False, for_whole_files: bool = False) -> Iterator[None]:
    """Pin the session settings that could change a result, and restore them at the end of the ``with`` block.

    The settings in `PINNED` are always included. Depending on the arguments, `PINNED_FOR_WRITING` and
    `PINNED_FOR_WHOLE_FILES` are added. A setting is left unchanged if it already has the right value, or if this
    version of Spark does not have it.

    If several threads need the same change, the setting is restored when the last one is done. If a setting cannot be
    restored, a warning is logged.

    Args:
        spark: the session.
        for_writing: whether the ``with`` block writes a table.
        for_whole_files: whether the tasks that the block starts must read whole files.

    Raises:
        ConfigError: a setting has the wrong value and cannot be changed.
    """
    more = (PINNED_FOR_WRITING if for_writing else {}), (PINNED_FOR_WHOLE_FILES if for_whole_files else {})
    pinned = {**PINNED, **more[0], **more[1]}
    taken: list[str] = []
    try:
        with _lock:
            given = _settings_of(spark)
            for key, wanted in pinned.items():
                if _take(spark, key, wanted, given):
                    taken.append(key)
        yield
    except (KeyboardInterrupt, SystemExit):
        # Over Spark Connect, the action goes on after an interrupt, and would then run without these settings.
        cancel_operations(spark)
        raise
    finally:
        with _lock:
            for key in taken:
                _restore(spark, key)


def _settings_of(spark: SparkSession) -> dict[str, str]:
    """Return a session's settings as a dictionary.

    If the platform allows it, all settings that have been set are read in one call. Otherwise, only the settings that
    this module may change are read, one by one, including defaults.
    """
    written = written_settings(spark)
    if written is not None:
        return written
    try:
        return dict(spark.conf.getAll)
    except SPARK_ERRORS as error:
        _refuse_lost_server(error)
        found = {key: setting_of(spark, key) for key in (*PINNED, *PINNED_FOR_WRITING, *PINNED_FOR_WHOLE_FILES)}
        return {key: value for key, value in found.items() if value is not None}


def has_defaults_for_tables(spark: SparkSession) -> bool:
    """Return whether the session sets properties for new Delta tables, which only Spark can apply.

    Also return True if the session's settings cannot be read.
    """
    try:
        found = written_settings(spark)
        return any(key.startswith(_DEFAULTS_FOR_TABLES) for key in (spark.conf.getAll if found is None else found))
    except SPARK_ERRORS as error:
        _refuse_lost_server(error)
        return True


def setting_of(spark: SparkSession, key: str, default: str | None = None) -> str | None:
    """Return the value of a setting, or its default if it is not set.

    Return None if the value cannot be read, for example because this version of Spark does not have the setting.

    Args:
        spark: the session.
        key: name of the setting.
        default: what to return if a setting is not set that has no default in Spark SQL, as those of Spark itself. An
            exception takes the JVM and PySpark 40 ms.
    """
    try:
        return spark.conf.get(key) if default is None else spark.conf.get(key, default)
    except SPARK_ERRORS as error:
        _refuse_lost_server(error)
        return None


def _refuse_lost_server(error: Exception) -> None:
    """Raise the exception again if its cause is a lost Spark Connect server or a refused token, not a setting."""
    if connect_error_behind(error) is not None:
        raise error


def _default(spark: SparkSession, key: str) -> str | None:
    """Return Spark's default for a setting that is not set in the session, or None if there is no known default."""
    # The default is cached, because Spark Connect sends a request to a server to find it.
    known = _defaults.setdefault(spark, {})
    if key not in known:
        known[key] = setting_of(spark, key)
    return known[key]


def _take(spark: SparkSession, key: str, wanted: str | None, given: Mapping[str, str]) -> bool:
    """Change a setting for a Spark action, and return whether `_restore` must be called when the action ends.

    If another running action has already changed the setting, the change is shared. If the setting already has the
    wanted value, or this version of Spark does not have it, nothing is changed.

    Args:
        spark: the session.
        key: name of the setting.
        wanted: the wanted value, or None for Spark's default.
        given: the session's current settings.

    Raises:
        ConfigError: the setting cannot be changed.
    """
    changes = _changes.setdefault(spark, {})
    if key in changes:
        changes[key].users += 1
        return True
    before = given.get(key)
    now = before if before is not None or wanted is None else _default(spark, key)
    if now is None or (wanted is not None and now.lower() == wanted.lower()):
        return False
    try:
        _set(spark, key, wanted)
    except SPARK_ERRORS as error:
        _refuse_lost_server(error)
        raise _cannot_change(key, now, wanted) from error
    changes[key] = _Change(before)
    return True


def _restore(spark: SparkSession, key: str) -> None:
    change = _changes[spark][key]
    change.users -= 1
    if change.users:
        return
    del _changes[spark][key]
    try:
        _set(spark, key, change.before)
    # If the session has ended, the error that ended it is already being raised.
    except (*SPARK_ERRORS, OSError, ValueError) as error:
        if connect_error_behind(error) is None:
            logger.warning("the session's setting '%s' could not be restored to its value", key)


def _set(spark: SparkSession, key: str, value: str | None) -> None:
    if value is None:
        spark.conf.unset(key)
    else:
        spark.conf.set(key, value)


def _cannot_change(key: str, got: str, wanted: str | None) -> ConfigError:
    line = f"with '--conf {key}={wanted}'" if wanted is not None else f"without '{key}'"
    return ConfigError(
        code=ErrorCode.SESSION_SETTING,
        what=f"the Spark session's setting '{key}', which can change a result, cannot be changed here",
        got=got,
        expected=wanted or "Spark's default",
        state="Nothing was written.",
        next_step=f"Start the session {line}, or ask the administrator of the cluster to do so.",
    )
