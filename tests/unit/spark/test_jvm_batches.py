from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

import pytest
from py4j.protocol import Py4JError
from pyspark.sql import DataFrame
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    DataType,
    DecimalType,
    DoubleType,
    FloatType,
    MapType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from sparkscore.minibatch import BLOCK_COLUMNS, SOURCE_FILE_COLUMN
from sparkscore.spark.jvm_batches import unmeasured_batches

ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"
BYTES = "spark.sql.execution.arrow.maxBytesPerBatch"


def of(data_type: DataType, count: int = 1) -> StructType:
    return StructType([StructField(f"c{number}", data_type) for number in range(count)])


def floats() -> StructType:
    return of(FloatType(), 28)


class Session:
    """A session, its context and its settings, which keeps the properties of this thread."""

    def __init__(self, most_rows: str | None) -> None:
        self.sparkContext, self.conf = self, self
        self.properties: dict[str, str | None] = {}
        self._most_rows = most_rows

    def get(self, key: str) -> str | None:
        assert key == ROWS
        return self._most_rows

    def getLocalProperty(self, key: str) -> str | None:  # noqa: N802 - Spark's name
        return self.properties.get(key)

    def setLocalProperty(self, key: str, value: str | None) -> None:  # noqa: N802 - Spark's name
        self.properties[key] = value


class Frame:
    def __init__(self, session: Any, schema: StructType) -> None:
        self.sparkSession, self.schema = session, schema


def limit_for(schema: StructType, most_rows: str | None = "10000") -> str | None:
    session = Session(most_rows)
    with unmeasured_batches(cast("DataFrame", Frame(session, schema))):
        return session.properties.get(BYTES)


@pytest.mark.parametrize(
    "schema",
    [
        floats(),
        floats().add(SOURCE_FILE_COLUMN, "string").add(BLOCK_COLUMNS[0], "long").add(BLOCK_COLUMNS[1], "long"),
        of(StructType([*of(DecimalType(38, 2)), StructField("when", TimestampType())])),
        of(DoubleType(), 700),
    ],
)
def test_rows_of_a_known_size_are_not_measured(schema: StructType) -> None:
    assert limit_for(schema) == "2147483647"


@pytest.mark.parametrize(
    "schema",
    [
        floats().add("text", "string"),
        of(BinaryType()),
        of(ArrayType(DoubleType())),
        of(MapType(DoubleType(), DoubleType())),
        of(of(StringType())),
        of(DoubleType(), 800),
    ],
)
def test_rows_that_may_be_large_are_measured(schema: StructType) -> None:
    assert limit_for(schema) is None


@pytest.mark.parametrize("most_rows", ["0", "-1", "1000000", None, "many"])
def test_rows_are_measured_if_a_record_batch_may_have_too_many(most_rows: str | None) -> None:
    assert limit_for(floats(), most_rows) is None


def test_the_thread_gets_back_what_it_had() -> None:
    session = Session("10000")
    session.properties[BYTES] = "77"

    with suppress(ValueError), unmeasured_batches(cast("DataFrame", Frame(session, floats()))):
        assert session.properties[BYTES] == "2147483647"
        raise ValueError

    assert session.properties[BYTES] == "77"


@pytest.mark.parametrize("calls", ["get", "set"])
def test_rows_are_measured_where_a_platform_does_not_allow_otherwise(
    monkeypatch: pytest.MonkeyPatch, calls: str
) -> None:
    def forbid(*_: object) -> None:
        raise Py4JError("method is not allowed")

    monkeypatch.setattr(Session, f"{calls}LocalProperty", forbid)

    assert limit_for(floats()) is None


def test_the_error_of_a_session_that_ended_is_not_replaced() -> None:
    session = Session("10000")

    with suppress(KeyError), unmeasured_batches(cast("DataFrame", Frame(session, floats()))):
        del session.properties  # as if the context had stopped
        raise KeyError
