"""Convert the texts of CSV files to values, with Spark expressions (driver).

Spark's CSV reader rounds decimals, truncates fractions of seconds, accepts a part of a date as a date, and depends on
settings of the session. The expressions of this module convert exactly. The survey of the files has checked each text
before they run; a text that nevertheless does not have the type stops the run.
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
    """Return an expression that converts a column of texts to a type, and fails the run for a text that does not fit.

    Args:
        text: the column of texts.
        name: the column's name, for the error.
        data_type: the type of the values.
        zone: the time zone of times that are written without one.
    """
    if isinstance(data_type, (StringType, VarcharType)):
        return text
    value = _converted(text, data_type, zone)
    wrong = refuse_value(f"column '{name}': got a text that is no {data_type.simpleString()}", data_type)
    return when(text.isNull(), lit(None).cast(data_type)).otherwise(coalesce(value, wrong))


def _converted(text: Column, data_type: DataType, zone: str) -> Column:
    """Return an expression for the value of a text; NULL if the text does not have the type."""
    if isinstance(data_type, _INTEGRAL):
        whole = when(text.rlike(_WITH_POINT), substring_index(text, ".", 1).try_cast(data_type))
        return coalesce(text.try_cast(data_type), whole)
    if isinstance(data_type, TimestampType):
        return _with_zone(trim(text), zone).try_cast(data_type)
    return text.try_cast(data_type)


def _with_zone(text: Column, zone: str) -> Column:
    """Return an expression that adds the seconds and the zone that a time lacks.

    Spark's cast does not accept a zone after minutes, and takes the session's time zone if there is none.
    """
    time = regexp_replace(text, _WITHOUT_SECONDS, "$1:00")
    whole = when(text.contains(":"), time).otherwise(concat(text, lit(" 00:00:00")))
    return when(whole.rlike(_WITH_ZONE), whole).otherwise(concat(whole, lit(f" {zone}")))
