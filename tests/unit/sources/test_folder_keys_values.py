from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql.types import (
    ArrayType,
    ByteType,
    DataType,
    DateType,
    DecimalType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from sparkscore.errors import SourceSchemaError
from sparkscore.plan import InputFile
from sparkscore.sources.folder_keys import check_key_values


def check(data_type: DataType, *keys: str, zone: str = "UTC", nullable: bool = True) -> None:
    files = [InputFile(f"/in/day={key}/a.parquet", 1, 1) for key in keys]
    schema = StructType([StructField("x", LongType()), StructField("day", data_type, nullable)])
    check_key_values(files, Path("/in"), schema, ["day"], zone)


@pytest.mark.parametrize(
    ("data_type", "key"),
    [
        (ByteType(), "300"),
        (DecimalType(5, 2), "1.555"),
        (DateType(), "2024-01"),
        (IntegerType(), "a"),
        (TimestampType(), "10%3A30"),
        (ArrayType(LongType()), "1"),
    ],
)
def test_a_key_that_its_type_does_not_hold_is_refused_by_folder(data_type: DataType, key: str) -> None:
    with pytest.raises(SourceSchemaError, match=r"\[INPUT_VALUE\] folder 'day=") as caught:
        check(data_type, "7" if not isinstance(data_type, (DateType, TimestampType)) else "2024-01-01", key)

    assert data_type.simpleString() in str(caught.value)
    assert "'day string'" in str(caught.value)


def test_an_hour_that_clocks_passed_over_is_no_key() -> None:
    check(TimestampType(), "2024-03-31 02%3A30%3A00")
    with pytest.raises(SourceSchemaError, match=r"\[INPUT_VALUE\]"):
        check(TimestampType(), "2024-03-31 02%3A30%3A00", zone="Europe/Berlin")


def test_keys_that_fit_pass_and_null_is_refused_where_there_must_be_none() -> None:
    check(IntegerType(), "007", "7", "__HIVE_DEFAULT_PARTITION__")
    check(StringType(), "a%2Fb", "")
    with pytest.raises(SourceSchemaError, match=r"\[INPUT_NULL\] column 'day'.*day=__HIVE"):
        check(IntegerType(), "7", "__HIVE_DEFAULT_PARTITION__", nullable=False)
