from __future__ import annotations

import pyarrow as pa
import pytest
from pyspark.sql.types import (
    ArrayType,
    CalendarIntervalType,
    DecimalType,
    IntegerType,
    MapType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from sparkscore.errors import SinkSchemaError, SourceSchemaError
from sparkscore.signature import parse_ddl
from sparkscore.spark.schema import columns_of, from_arrow, schema_of, to_arrow

EVERY_TYPE = (
    "a boolean, b tinyint, c smallint, d int, e bigint, f float, g double, h decimal(38,9), i string, j binary, "
    "k date, l timestamp, m timestamp_ntz, n array<timestamp_ntz>, o map<string,timestamp>, "
    "p struct<x:timestamp_ntz,y:int>"
)


def test_a_timestamp_without_a_zone_stays_one_in_every_version_of_spark() -> None:
    schema = pa.schema({"ntz": pa.timestamp("us"), "deep": pa.list_(pa.struct({"t": pa.timestamp("ns")}))})

    found = from_arrow(schema)

    assert found["ntz"].dataType == TimestampNTZType()
    assert found["deep"].dataType == ArrayType(StructType([StructField("t", TimestampNTZType())]))


def test_an_instant_is_in_utc() -> None:
    kinds = {"t": TimestampType(), "m": MapType(StringType(), TimestampType())}

    arrow = to_arrow(StructType([StructField(name, kind) for name, kind in kinds.items()]))

    assert arrow.field("t").type == pa.timestamp("us", "UTC")
    assert arrow.field("m").type.item_type == pa.timestamp("us", "UTC")
    assert from_arrow(pa.schema({"t": pa.timestamp("us", "America/New_York")}))["t"].dataType == TimestampType()


def test_all_types_come_back() -> None:
    arrow = parse_ddl(EVERY_TYPE)

    spark = from_arrow(arrow)

    assert to_arrow(spark) == arrow
    assert schema_of(columns_of(spark)) == spark


def test_nullability_comes_back() -> None:
    kind = StructType(
        [
            StructField("a", ArrayType(IntegerType(), containsNull=False), nullable=False),
            StructField("m", MapType(IntegerType(), DecimalType(5, 2), valueContainsNull=False)),
        ]
    )

    assert from_arrow(to_arrow(kind)) == kind


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        (pa.large_string(), pa.string()),
        (pa.large_binary(), pa.binary()),
        (pa.binary(4), pa.binary()),
        (pa.large_list(pa.int8()), pa.list_(pa.int8())),
        (pa.dictionary(pa.int8(), pa.string()), pa.string()),
    ],
)
def test_other_widths_of_a_type_are_the_same_type(wide: pa.DataType, narrow: pa.DataType) -> None:
    assert from_arrow(pa.schema({"a": wide})) == from_arrow(pa.schema({"a": narrow}))


def test_types_without_a_counterpart_are_refused() -> None:
    with pytest.raises(SourceSchemaError, match="INPUT_TYPES"):
        to_arrow(StructType([StructField("i", CalendarIntervalType())]))
    with pytest.raises(SinkSchemaError, match="OUTPUT_TYPES"):
        from_arrow(pa.schema({"d": pa.time64("us")}))
