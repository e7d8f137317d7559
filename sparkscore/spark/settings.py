"""Pin what a session's settings could change in a result: by options, or in the session while an action runs (driver).

The one module that sets readers' and writers' options and changes a session's settings; a test watches that. An option
comes first: it belongs to a frame and holds whenever that runs. Where Spark has none, the setting is changed around an
action and given back. A lazy frame must not rely on that: Spark Connect analyses it again each time it runs.
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
from sparkscore.spark.errors import SPARK_ERRORS

logger = logging.getLogger("sparkscore")

_NO_OPTIONS: Final[Mapping[str, str]] = MappingProxyType({})
# A deployment's 'input.options' may say otherwise; a session may not.
_READ_OPTIONS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "csv": {"columnNameOfCorruptRecord": "_corrupt_record", "columnPruning": "true", "timeZone": "UTC"},
        "json": {"columnNameOfCorruptRecord": "_corrupt_record", "timeZone": "UTC"},
        "parquet": {"datetimeRebaseMode": "CORRECTED", "int96RebaseMode": "CORRECTED"},
    }
)
# A corrupt or missing file must never be passed over, whatever anybody says.
_ALL_FILES: Final = {"ignoreCorruptFiles": "false", "ignoreMissingFiles": "false"}
# Compares the checksum of each page that has one, which is off by default.
# Source: parquet-hadoop's ParquetInputFormat.PAGE_VERIFY_CHECKSUM_ENABLED.
_VERIFIED_PAGES: Final = {"parquet.page.verify-checksum.enabled": "true"}
_DELTA_WRITE_OPTIONS: Final = {"mergeSchema": "false", "partitionOverwriteMode": "static"}

#: Spark's own default, whatever that is in its version.
DEFAULT: Final = None
#: Settings that can change what is read or written and have no option, at least none that Delta's reader takes.
PINNED: Final[Mapping[str, str | None]] = MappingProxyType(
    {
        # Files and rows that are left out.
        "spark.sql.files.ignoreCorruptFiles": "false",
        "spark.sql.files.ignoreInvalidPartitionPaths": "false",
        "spark.sql.files.ignoreMissingFiles": "false",
        "spark.sql.parquet.respectSummaryFiles": "false",
        "spark.sql.sources.useV1SourceList": DEFAULT,
        "spark.sql.sources.validatePartitionColumns": "true",
        # Days and instants.
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
        # Texts.
        "spark.sql.charAsVarchar": "false",
        "spark.sql.legacy.charVarcharAsString": "false",
        "spark.sql.legacy.codingErrorAction": "false",
        "spark.sql.parquet.binaryAsString": "false",
        "spark.sql.preserveCharVarcharTypeInfo": "false",
        "spark.sql.readSideCharPadding": "true",
        # NULL or an error, and which of several.
        "spark.sql.ansi.enabled": "true",
        "spark.sql.json.enableExactStringParsing": "true",
        "spark.sql.json.enablePartialResults": "true",
        "spark.sql.legacy.json.allowEmptyString.enabled": "false",
        "spark.sql.legacy.parquet.returnNullStructIfAllFieldsMissing": "false",
        "spark.sql.mapKeyDedupPolicy": "EXCEPTION",
        "spark.sql.storeAssignmentPolicy": "ANSI",
        # Names.
        "spark.sql.caseSensitive": "false",
        "spark.sql.parser.escapedStringLiterals": "false",
        "spark.sql.parser.quotedRegexColumnNames": "false",
        "spark.sql.timeTravelVersionKey": DEFAULT,
        # Which version of a Delta table is the newest, and what its log says.
        "spark.databricks.delta.commitInfo.enabled": "true",
        "spark.databricks.delta.history.metricsEnabled": "true",
        "spark.databricks.delta.normalizePartitionValuesOnRead": "true",
        "spark.databricks.delta.stalenessLimit": DEFAULT,
    }
)
#: Those that count only while a table is written.
PINNED_FOR_WRITING: Final[Mapping[str, str | None]] = MappingProxyType(
    {
        "spark.databricks.delta.convertEmptyToNullForStringPartitionCol": "true",
        "spark.databricks.delta.write.utcTimestampPartitionValues": "true",
        "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
        "spark.sql.parquet.int96RebaseModeInWrite": "CORRECTED",
        # Spark's own default is a form that other readers take for nanoseconds since 1970, which end in 2262.
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.parquet.writeLegacyFormat": "false",
        # An instant that partitions a Delta table passes through a folder's name, which has no offset: in a zone with
        # summer time one hour of autumn stands for two.
        "spark.sql.session.timeZone": "UTC",
    }
)
#: Those that count only where a task reads whole files: none is split, and each counts alike when they are dealt out.
PINNED_FOR_WHOLE_FILES: Final[Mapping[str, str | None]] = MappingProxyType(
    {
        "spark.sql.files.maxPartitionBytes": f"{2**62}",
        "spark.sql.files.openCostInBytes": f"{2**40}",
    }
)


def read_from(spark: SparkSession, source: str, options: Mapping[str, str] = _NO_OPTIONS) -> DataFrameReader:
    """Give a reader that takes nothing from the session for which there is an option.

    Args:
        spark: the session.
        source: Spark's name of the format.
        options: more options.
    """
    always: Mapping[str, str] = {} if source == "delta" else _ALL_FILES
    if source == "parquet":
        always = {**always, **_VERIFIED_PAGES}
    return spark.read.format(source).options(**{**_READ_OPTIONS.get(source, {}), **options, **always})


def write_to_delta(frame: DataFrame, options: Mapping[str, str]) -> DataFrameWriter:
    """Give a writer that takes nothing from the session for which there is an option; saving needs pinned settings."""
    return frame.write.format("delta").options(**{**options, **_DELTA_WRITE_OPTIONS})


@dataclass
class _Change:
    """A setting that is changed: what it was (None where it was not set), and how many actions need the change."""

    before: str | None
    users: int = 1


_lock = threading.Lock()
_changes: WeakKeyDictionary[SparkSession, dict[str, _Change]] = WeakKeyDictionary()
_defaults: WeakKeyDictionary[SparkSession, dict[str, str | None]] = WeakKeyDictionary()


@contextmanager
def pinned_settings(spark: SparkSession, *, for_writing: bool = False, for_whole_files: bool = False) -> Iterator[None]:
    """Give the pinned settings their values while an action runs, and give the session's own back.

    A setting that has its value already is not touched. Actions in several threads share a change.

    Raises:
        ConfigError: the session holds another value and does not let it be changed.
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
    finally:
        with _lock:
            for key in taken:
                _give_back(spark, key)


def _settings_of(spark: SparkSession) -> dict[str, str]:
    """Read what is set in the session, all in one call where the platform has it."""
    try:
        return dict(spark.conf.getAll)
    except SPARK_ERRORS:
        found = {key: _setting(spark, key) for key in (*PINNED, *PINNED_FOR_WRITING, *PINNED_FOR_WHOLE_FILES)}
        return {key: value for key, value in found.items() if value is not None}


def _setting(spark: SparkSession, key: str) -> str | None:
    """Give a setting's value, which may be its default; None for one that this Spark does not have."""
    try:
        return spark.conf.get(key)
    except SPARK_ERRORS:
        return None


def _default(spark: SparkSession, key: str) -> str | None:
    """Give what a setting is in this session as long as nobody sets it; asked once, since Connect asks a server."""
    known = _defaults.setdefault(spark, {})
    if key not in known:
        known[key] = _setting(spark, key)
    return known[key]


def _take(spark: SparkSession, key: str, wanted: str | None, given: Mapping[str, str]) -> bool:
    """Change a setting, or share the change with another action; tell whether it must be given back."""
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
        raise _cannot_change(key, now, wanted) from error
    changes[key] = _Change(before)
    return True


def _give_back(spark: SparkSession, key: str) -> None:
    change = _changes[spark][key]
    change.users -= 1
    if change.users:
        return
    del _changes[spark][key]
    try:
        _set(spark, key, change.before)
    except (*SPARK_ERRORS, OSError):  # the session is gone; what ended it is on its way already
        logger.warning("the session's setting '%s' could not be given back its value", key)


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
        next_step=f"Start the session {line}, or ask who runs the cluster to.",
    )
