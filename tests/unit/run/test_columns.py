from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql.types import (
    ArrayType,
    CalendarIntervalType,
    DataType,
    DateType,
    DayTimeIntervalType,
    DecimalType,
    DoubleType,
    LongType,
    MapType,
    NullType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    VariantType,
)

from sparkscore.config import Deployment
from sparkscore.errors import ConfigError, SinkSchemaError, SourceSchemaError
from sparkscore.run.columns import (
    ResultColumns,
    check_input_types,
    choose_carried,
    decide_columns,
    refuse_missing_not_null,
)
from sparkscore.worker import LineageValues

LINEAGE = LineageValues("night", "m", "1")
PREDICTIONS = pa.schema([("prediction", pa.float64())])
ROWS = StructType([StructField("id", LongType()), StructField("city", StringType())])


def deployment(**sections: Any) -> Deployment:
    return Deployment.model_validate({"output": {"location": "/out", **sections.pop("output", {})}, **sections})


def struct(**fields: DataType) -> StructType:
    return StructType([StructField(name, kind) for name, kind in fields.items()])


def decided(carried: tuple[str, ...] = ("id", "city"), predictions: pa.Schema = PREDICTIONS, **sections: Any) -> Any:
    return decide_columns(deployment(**sections), predictions, carried, ROWS, LINEAGE)


@pytest.mark.parametrize(
    "kind",
    [
        LongType(),
        DecimalType(38, 9),
        DateType(),
        TimestampNTZType(),
        ArrayType(StringType()),
        MapType(StringType(), ArrayType(LongType())),
        struct(a=DoubleType(), b=struct(c=StringType())),
    ],
    ids=str,
)
def test_types_that_arrow_and_parquet_hold_are_taken(kind: DataType) -> None:
    check_input_types(struct(x=kind))


@pytest.mark.parametrize(
    "kind",
    [
        CalendarIntervalType(),
        DayTimeIntervalType(),
        VariantType(),
        NullType(),
        StructType([]),
        ArrayType(VariantType()),
        MapType(StringType(), NullType()),
        MapType(VariantType(), StringType()),
        struct(a=LongType(), b=VariantType()),
    ],
    ids=str,
)
def test_other_types_are_refused_with_the_line_that_leaves_their_columns_out(kind: DataType) -> None:
    with pytest.raises(SourceSchemaError, match=r"\[INPUT_TYPES\].*'x'") as caught:
        check_input_types(struct(good=LongType(), x=kind))

    assert "'input.columns: [good]'" in caught.value.next_step


@pytest.mark.parametrize(
    ("carry", "is_frame", "chosen"),
    [
        (None, False, ("id", "city")),
        (None, True, ()),
        ([], False, ()),
        (["city"], True, ("city",)),
    ],
)
def test_columns_are_carried_unless_a_dataframe_comes_back_or_the_deployment_names_them(
    carry: list[str] | None, chosen: tuple[str, ...], *, is_frame: bool
) -> None:
    assert choose_carried(deployment(output={"carry": carry}), ROWS, is_frame=is_frame) == chosen


def test_of_files_nothing_is_carried() -> None:
    assert choose_carried(deployment(), None, is_frame=False) == ()


@pytest.mark.parametrize(("rows", "got"), [(ROWS, "'city'"), (None, "an input of files")])
def test_a_column_that_the_input_does_not_have_cannot_be_carried(rows: StructType | None, got: str) -> None:
    with pytest.raises(ConfigError, match=r"\[CARRY_COLUMNS\].*'day'") as caught:
        choose_carried(deployment(output={"carry": ["day"]}), rows, is_frame=False)

    assert got in str(caught.value.got)


def test_the_result_has_carried_columns_then_predictions_then_lineage() -> None:
    found = decided()

    assert found.schema.names[:3] == ["id", "city", "prediction"]
    assert {"run_id", "model_name", "model_version", "scored_at", "source_file"} <= set(found.schema.names[3:])
    assert found.schema["id"].dataType == LongType()


def test_the_columns_know_where_they_come_from() -> None:
    found = decided(columns={"run_id": "batch", "id": "number"})

    assert found.origins.carried == {"number": "id", "city": "city"}
    assert found.origins.added["batch"] == "run_id"


@pytest.mark.parametrize(
    ("columns", "carried", "advice"),
    [
        ({"day": "date"}, ("id",), "Correct 'columns'."),
        ({"city": "town"}, ("id",), "Carry 'city' with 'output.carry'"),
    ],
)
def test_a_column_that_is_not_in_the_result_cannot_be_renamed(
    columns: dict[str, str], carried: tuple[str, ...], advice: str
) -> None:
    with pytest.raises(ConfigError, match=r"\[COLUMNS_UNKNOWN\]") as caught:
        decided(carried, columns=columns)

    assert advice in caught.value.next_step


def test_two_columns_with_one_name_are_refused_and_the_advice_gives_names_that_are_free() -> None:
    predictions = pa.schema([("id", pa.float64()), ("sparkscore_id", pa.int64())])

    with pytest.raises(ConfigError, match=r"\[COLUMN_CLASH\].*'id'") as caught:
        decided(predictions=predictions)

    assert "sparkscore_id_2" in caught.value.next_step
    assert decided(predictions=predictions, columns={"id": "sparkscore_id_2"}, carried=("city",)) is not None


@pytest.mark.parametrize(
    ("partition_by", "more", "told"),
    [
        (["day"], {}, "'day', which is not in the result"),
        (["city"], {"columns": {"city": "town"}}, "'city', which is 'town' in the result"),
        (["_hidden"], {"columns": {"city": "_hidden"}}, "begin with '_'"),
        (["city", "city"], {}, "a column twice"),
    ],
)
def test_partition_columns_that_cannot_be_are_refused(partition_by: list[str], more: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=r"\[PARTITION_COLUMNS\]") as caught:
        decided(output={"partition_by": partition_by}, **more)

    assert told in caught.value.what


def result_with(nullable: dict[str, bool]) -> ResultColumns:
    predictions = pa.schema([pa.field(name, pa.int64(), nullable=can) for name, can in nullable.items()])
    found: ResultColumns = decided(predictions=predictions)
    return found


def test_predictions_that_are_declared_not_null_fit_a_table_without_nulls() -> None:
    refuse_missing_not_null(["a"], result_with({"a": False, "b": True}))
    refuse_missing_not_null(["id"], result_with({"a": True}))


def test_predictions_that_may_be_null_are_refused_where_the_table_has_none() -> None:
    with pytest.raises(SinkSchemaError, match=r"\[OUTPUT_NOT_NULL\].*'a'") as caught:
        refuse_missing_not_null(["a"], result_with({"a": True, "b": True}))

    assert "a bigint NOT NULL" in caught.value.next_step
    assert "b bigint NOT NULL" not in caught.value.next_step
