"""Convert the strings of CSV files and of partition columns to typed values with Spark expressions. Runs on the driver.

Spark's readers are not used for this, because their results depend on session settings. If Spark cannot convert a
string, the run fails. Spark would convert some strings inexactly, for example by rounding decimals with too many
digits. `CsvSource.check_contents` and `check_key_values` raise an error for such strings.
"""

from __future__ import annotations

from typing import Final

from pyspark.sql import Column
from pyspark.sql.functions import coalesce, concat, lit, regexp_replace, substring_index, trim, when
from pyspark.sql.types import (
    ByteType,
    DataType,
    IntegerType,
    LongType,
    ShortType,
    StringType,
    TimestampType,
    VarcharType,
)

from sparkscore.sources.rows import refuse_value

_INTEGRAL: Final = (ByteType, ShortType, IntegerType, LongType)
_WITH_POINT: Final = r"^\s*[+-]?[0-9]+\.0*\s*$"
_WITH_ZONE: Final = r":[0-9]{2}(\.[0-9]+)? ?(Z|UTC|[+-][0-9:]+)$"
_WITHOUT_SECONDS: Final = "([T ][0-9]{1,2}:[0-9]{2})(?![0-9:])"


def value_of(text: Column, name: str, data_type: DataType, zone: str) -> Column:
    """Return an expression that converts a column of strings to the type `data_type`.

    NULL stays NULL. The run fails if Spark cannot convert a string. ``string`` and ``varchar`` columns are returned
    unchanged.

    Args:
        text: the column of strings.
        name: the name of the column, for the error message.
        data_type: the type of the values.
        zone: the time zone for timestamps without a time zone.
    """
    if isinstance(data_type, (StringType, VarcharType)):
        return text
    value = _converted(text, data_type, zone)
    wrong = refuse_value(f"column '{name}': got a text that is no {data_type.simpleString()}", data_type)
    return when(text.isNull(), lit(None).cast(data_type)).otherwise(coalesce(value, wrong))


def _converted(text: Column, data_type: DataType, zone: str) -> Column:
    """Return an expression that converts a string to a type, or to NULL if Spark cannot convert it."""
    if isinstance(data_type, _INTEGRAL):
        whole = when(text.rlike(_WITH_POINT), substring_index(text, ".", 1).try_cast(data_type))
        return coalesce(text.try_cast(data_type), whole)
    if isinstance(data_type, TimestampType):
        return _with_zone(trim(text), zone).try_cast(data_type)
    return text.try_cast(data_type)


def _with_zone(text: Column, zone: str) -> Column:
    """Return an expression that adds missing seconds and a missing time zone to timestamp strings.

    A date without a time gets the time 00:00:00. Seconds are added because Spark's cast does not accept a time zone
    directly after minutes. A time zone is added because the cast would otherwise use the session's time zone.
    """
    time = regexp_replace(text, _WITHOUT_SECONDS, "$1:00")
    whole = when(text.contains(":"), time).otherwise(concat(text, lit(" 00:00:00")))
    return when(whole.rlike(_WITH_ZONE), whole).otherwise(concat(whole, lit(f" {zone}")))
