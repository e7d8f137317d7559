"""SQL functions in queries: the values of a job, an error beside its row, and known numbers of calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyspark
import pytest

import sparkscore
from sparkscore import ErrorCode
from sparkscore.cli import run_command_line
from sparkscore.errors import ConfigError
from tests.support import sql_checks
from tests.support.sql_checks import WRONG_CALLS, check_calls, check_differences, check_tables

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


@pytest.mark.each_spark
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


@pytest.mark.each_spark
@pytest.mark.usefixtures("heart")
def test_names_that_spark_has_are_refused_and_a_function_of_ours_is_replaced(
    spark: SparkSession, make_deployment: Callable[..., Path]
) -> None:
    other = make_deployment(SCRIPT.replace("* 2", "* 5"), **{**DECLARED, "name": "other"})
    spark.sql("CREATE OR REPLACE TEMPORARY FUNCTION test_theirs_struct() RETURNS INT RETURN 1")

    for taken in ("abs", "test_theirs", "test_heart_struct"):
        with pytest.raises(ConfigError) as refused:
            sparkscore.register_function(spark, taken, other)
        assert refused.value.code == ErrorCode.SQL_NAME_TAKEN
    sparkscore.register_function(spark, "Test_Heart", other)

    assert rows(spark, "SELECT test_heart(1, 1).risk") == [(6.0,)]


@pytest.mark.each_spark
def test_right_calls_have_values_and_wrong_calls_say_what_is_right(spark: SparkSession, tmp_path: Path) -> None:
    # Each query that stops costs a process, so the other wrong calls are tried with Spark Connect only.
    check_calls(sql_checks.calls(spark, tmp_path, list(WRONG_CALLS)[:1]))


@pytest.mark.each_spark
def test_10_000_rows_of_every_type_get_the_values_of_a_job(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = sql_checks.differences(spark, tmp_path)
    check_differences(found)

    columns = ", ".join(found["different"])
    statement = f"SELECT p.* FROM (SELECT sql_echo({columns}) AS p FROM sql_rows)"  # noqa: S608 - of this test
    capsys.readouterr()
    assert run_command_line(["sql", statement, "--format", "json", "--runs", str(tmp_path / "runs")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10_000
    different = sql_checks.differences_in_json(lines, tmp_path, nan=not sql_checks.is_pandas(spark))
    assert different == dict.fromkeys(found["different"], 0)


@pytest.mark.each_spark
@pytest.mark.skipif(pyspark.__version__ < "4.1", reason="table functions of Arrow tables came with Spark 4.1")
def test_a_table_function_returns_the_rows_of_a_job_and_one_call_has_one_key(
    spark: SparkSession, tmp_path: Path
) -> None:
    check_tables(sql_checks.tables(spark, tmp_path))


def test_a_model_is_loaded_once_for_two_functions(
    spark: SparkSession, make_deployment: Callable[..., Path], tmp_path: Path
) -> None:
    loads = tmp_path / "loads"
    script = f"""
        def init():
            with open({str(loads)!r}, "a") as file:
                file.write("1")

        def run(frame):
            return frame["x"].tolist()
    """
    path = make_deployment(script, input={"schema": "x double"}, output={"schema": "risk double"})
    for name in ("test_f", "test_g"):
        sparkscore.register_function(spark, name, path)

    assert rows(spark, "SELECT test_f(1).risk, test_g(id).risk FROM range(0, 1, 1, 1)") == [(1.0, 0.0)]
    assert loads.read_text() == "1"


def test_spark_itself_changes_the_arguments_of_a_function_that_is_written_in_sql(spark: SparkSession) -> None:
    # The reason for functions that get the caller's types; docs/decisions has the whole story.
    spark.sql("CREATE OR REPLACE TEMPORARY FUNCTION test_number(x DOUBLE) RETURNS DOUBLE RETURN x")
    spark.sql("CREATE OR REPLACE TEMPORARY FUNCTION test_whole(x INT) RETURNS INT RETURN x")
    spark.sql(
        "CREATE OR REPLACE TEMPORARY FUNCTION test_pair(s STRUCT<age DOUBLE, bmi DOUBLE>) RETURNS DOUBLE RETURN s.age"
    )

    found = rows(
        spark,
        "SELECT test_number(9007199254740993L), test_number('7'), test_number(true), test_whole(2.9D), "
        "test_pair(struct(22.5D AS bmi, 60D AS age))",
    )

    assert found == [(2.0**53, 7.0, 1.0, 2, 22.5)]
