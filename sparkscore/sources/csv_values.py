"""Make values of the texts of CSV files, in Spark's expressions (driver; Spark runs them on workers).

Spark's own conversions of CSV texts round decimals, cut off fractions of seconds, take a part of a date for a date, and
depend on the session. A survey of the files has shown that each text is one of its type before these run; a text that
turns out to be none stops the run.
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


def value_of(text: Column, name: str, kind: DataType, zone: str) -> Column:
    """Give the value of a text.

    Args:
        text: the text.
        name: the column's name, for the error.
        kind: the type of the value.
        zone: the zone of times that have none.
    """
    if isinstance(kind, (StringType, VarcharType)):
        return text
    value = _converted(text, kind, zone)
    wrong = refuse_value(f"column '{name}': got a text that is no {kind.simpleString()}", kind)
    return when(text.isNull(), lit(None).cast(kind)).otherwise(coalesce(value, wrong))


def _converted(text: Column, kind: DataType, zone: str) -> Column:
    if isinstance(kind, _INTEGRAL):
        whole = when(text.rlike(_WITH_POINT), substring_index(text, ".", 1).try_cast(kind))
        return coalesce(text.try_cast(kind), whole)
    if isinstance(kind, TimestampType):
        return _with_zone(trim(text), zone).try_cast(kind)
    return text.try_cast(kind)


def _with_zone(text: Column, zone: str) -> Column:
    """Give a time the seconds and the zone that it lacks: Spark takes no zone behind minutes, else the session's."""
    time = regexp_replace(text, _WITHOUT_SECONDS, "$1:00")
    whole = when(text.contains(":"), time).otherwise(concat(text, lit(" 00:00:00")))
    return when(whole.rlike(_WITH_ZONE), whole).otherwise(concat(whole, lit(f" {zone}")))
