"""SQL functions in queries: an error is beside its row, and a wrong call says what is right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import sparkscore

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SCRIPT: Final = """
def run(frame):
    if (frame["age"] < 0).any():
        raise ValueError("age is negative")
    return (frame["age"] * 2 + frame["bmi"]).tolist()
"""
DECLARED: Final[dict[str, Any]] = {
    "input": {"schema": "age double COMMENT 'in years', bmi double"},
    "output": {"schema": "risk double"},
    "sql": {"arguments": {"bmi": {"comment": "kg/m2", "default": 25.0}}},
}


@pytest.fixture
def heart(spark: SparkSession, make_deployment: Callable[..., Path]) -> None:
    sparkscore.register_function(spark, "test_heart", make_deployment(SCRIPT, **DECLARED))


def rows(spark: SparkSession, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in spark.sql(query).collect()]


@pytest.mark.usefixtures("heart")
def test_a_row_that_fails_has_its_error_and_its_neighbours_have_their_values(spark: SparkSession) -> None:
    found = rows(
        spark,
        "SELECT id, p.risk, p.error, p.model_version FROM (SELECT id, test_heart(CASE id WHEN 7 THEN -1 WHEN 9 THEN "
        "9007199254740993 ELSE id END, id) AS p FROM range(0, 20, 1, 1)) ORDER BY id",
    )

    assert [row[1] for row in found] == [None if id_ in {7, 9} else id_ * 3.0 for id_ in range(20)]
    assert found[7][2] == "ValueError: age is negative"
    assert found[9][2].startswith("[SQL_ARGUMENT_VALUE] argument 'age'")
    assert {row[2] for row in found} - {found[7][2], found[9][2]} == {None}
    assert {row[3] for row in found} == {None}


@pytest.mark.usefixtures("heart")
@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("test_heart(ag => 1)", "got an argument 'ag', expected the arguments age, bmi"),
        ("test_heart('7', 3)", r"got string, expected double\. The query was stopped\. Write the conversion"),
    ],
)
def test_a_wrong_call_stops_the_query_with_what_is_right(spark: SparkSession, call: str, told: str) -> None:
    with pytest.raises(Exception, match=told):
        rows(spark, f"SELECT {call}")


@pytest.mark.usefixtures("heart")
def test_the_description_is_a_function_too(spark: SparkSession) -> None:
    ((text,),) = rows(spark, "SELECT test_heart_describe()")

    assert "Input:         age DOUBLE 'in years'\n               bmi DOUBLE DEFAULT 25.0 'kg/m2'\n" in text
