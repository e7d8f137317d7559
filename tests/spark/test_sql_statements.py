"""`sparkscore sql` in a session: what it prints is what Spark has, and an error is one line without values."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from sparkscore.cli import run_command_line
from sparkscore.record.queries import FunctionUse, list_queries
from sparkscore.spark.row_counts import counter_of
from sparkscore.sql import prepare_function
from sparkscore.sql.query import run_statement
from sparkscore.sql.register import register

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SCRIPT: Final = """
def run(frame):
    if (frame["age"] < 0).any():
        raise ValueError("age is negative")
    return (frame["age"] * 2).tolist()
"""
DECLARED: Final[dict[str, Any]] = {"input": {"schema": "age double"}, "output": {"schema": "risk double"}}
VALUES: Final = """
    SELECT CAST(NULL AS STRING) AS none, '' AS empty, 'NULL' AS text, 9007199254740993L AS big, 1.10BD AS dec,
        double('NaN') AS nan, -double('Infinity') AS inf, float(0.1) AS f, X'00FF' AS b, DATE'+12000-01-02' AS d,
        TIMESTAMP'2026-01-02 03:04:05.000006 +02:00' AS t, TIMESTAMP_NTZ'2026-01-02 03:04:05' AS n,
        named_struct('z', map(1, array(NULL, 'x')), 'a', map('k', 2)) AS s
"""


@pytest.fixture
def sql(spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs `sparkscore sql` on the shared session: exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        assert spark
        code = run_command_line(["sql", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def test_every_value_is_printed_exactly(sql: Callable[..., Any]) -> None:
    assert sql(VALUES, "--format", "json")[1] == (
        '{"none":null,"empty":"","text":"NULL","big":9007199254740993,"dec":"1.10","nan":"NaN","inf":"-Infinity",'
        '"f":0.1,"b":"AP8=","d":"12000-01-02","t":"2026-01-02T01:04:05.000006Z","n":"2026-01-02T03:04:05",'
        '"s":{"z":[{"key":1,"value":[null,"x"]}],"a":{"k":2}}}\n'
    )
    assert sql(VALUES, "--format", "csv")[1].splitlines()[1] == (
        ',"",NULL,9007199254740993,1.10,NaN,-Infinity,0.1,AP8=,12000-01-02,2026-01-02T01:04:05.000006Z,'
        '2026-01-02T03:04:05,"{""z"":[{""key"":1,""value"":[null,""x""]}],""a"":{""k"":2}}"'
    )


def test_a_deployment_scores_the_files_that_a_statement_names(
    sql: Callable[..., Any],
    spark: SparkSession,
    make_deployment: Callable[..., Path],
    tmp_path: Path,
) -> None:
    deployment = make_deployment(SCRIPT, "sql-shell", **DECLARED)
    rows = spark.createDataFrame([(1, 20.0), (2, -1.0)], "id long, age double").coalesce(1)
    rows.write.parquet(str(tmp_path / "people"))
    statement = "SELECT id, p.* FROM (SELECT id, sql_shell(age) AS p FROM parquet.`{}`) ORDER BY id"

    code, out, _ = sql(statement.format(tmp_path / "people"), deployment, "--format", "json")

    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == [
        {"id": 1, "risk": 40.0, "error": None, "model_version": None},
        {"id": 2, "risk": None, "error": "ValueError: age is negative", "model_version": None},
    ]


def test_a_statement_is_recorded_with_the_rows_that_its_functions_scored(
    sql: Callable[..., Any], make_deployment: Callable[..., Path], tmp_path: Path
) -> None:
    deployment = make_deployment(SCRIPT, "sql-counted", **DECLARED)
    statement = "SELECT count(sql_counted(id - 1).error) AS failed FROM range(0, 1000, 1, 3)"

    assert sql(statement, deployment, "--format", "csv", "--runs", tmp_path / "runs")[1] == "failed\n1\n"

    (record,) = list_queries(tmp_path / "runs")
    assert record.functions == (FunctionUse("sql_counted", rows=1000, failed=1),)
    assert (record.state, record.rows) == ("COMPLETE", 1)


def test_rows_of_a_table_are_counted_too(
    sql: Callable[..., Any], make_deployment: Callable[..., Path], tmp_path: Path
) -> None:
    deployment = make_deployment(SCRIPT, "sql-table", **DECLARED)
    statement = "SELECT count(error) AS failed FROM sql_table_table(TABLE(SELECT id - 1 AS age FROM range(0, 9, 1, 3)))"

    assert sql(statement, deployment, "--format", "csv", "--runs", tmp_path / "runs")[1] == "failed\n1\n"

    (record,) = list_queries(tmp_path / "runs")
    assert record.functions == (FunctionUse("sql_table", rows=9, failed=3),)


def test_rows_of_one_statement_are_told_by_its_job_group(
    spark: SparkSession, make_deployment: Callable[..., Path]
) -> None:
    counter = counter_of(spark)
    assert counter is not None
    register(spark, prepare_function(None, make_deployment(SCRIPT, "sql-groups", **DECLARED)), counter)
    for group, rows in (("statement-1", 3), ("statement-2", 4)):
        spark.sparkContext.setJobGroup(group, "")
        spark.range(rows).selectExpr("sql_groups(id)").collect()
    for name in ("spark.jobGroup.id", "spark.job.description", "spark.job.interruptOnCancel"):
        spark.sparkContext.setLocalProperty(name, None)  # type: ignore[arg-type]  # None removes it

    assert [counter.counts("sql_groups", group) for group in ("statement-1", "statement-2")] == [(3, 0), (4, 0)]


def test_a_file_of_csv_with_a_header_is_a_table(sql: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("id,age\n1,2.5\n")
    statement = f"FROM csv.`{tmp_path}/people.csv` WITH (header = true, inferSchema = true) SELECT id + 1 AS next, age"

    assert sql(statement, "--format", "json") == (0, '{"next":2,"age":2.5}\n', "")


def test_a_delta_table_is_read_by_its_whole_path(sql: Callable[..., Any], tmp_path: Path) -> None:
    table = f"delta.`{tmp_path}/t`"

    assert sql(f"CREATE TABLE {table} USING delta AS SELECT 1 AS a")[:2] == (0, "")
    assert sql(f"TABLE {table};", "--format", "csv")[:2] == (0, "a\n1\n")
    code, out, err = sql("SELECT * FROM delta.`t`")
    assert (code, out) == (2, "")
    assert "Write the whole path of the Delta table: delta.`/" in err


def test_rows_are_cut_only_if_asked(sql: Callable[..., Any]) -> None:
    code, out, err = sql("SELECT id FROM range(3)", "--format", "csv", "--max-rows", 2)

    assert (code, out) == (0, "id\n0\n1\n")
    assert "only the first 2 rows are printed" in err
    assert sql("SELECT id FROM range(3)", "--format", "csv", "--max-rows", 3) == (0, "id\n0\n1\n2\n", "")


@pytest.mark.parametrize(
    ("statement", "code", "told"),
    [
        ("SELEC 1", 2, "[SQL_STATEMENT] the statement: got PARSE_SYNTAX_ERROR: Syntax error at or near 'SELEC'"),
        ("SELECT 1; SELECT 2", 2, "got 2 statements, expected one"),
        ("SELECT x FROM range(3)", 2, "UNRESOLVED_COLUMN.WITH_SUGGESTION: A column"),
        ("SELECT * FROM parquet.`/nowhere`", 2, "PATH_NOT_FOUND"),
        ("SELECT * FROM scored_table(TABLE(SELECT 1))", 2, "has a table function, with Spark 4.1 or later."),
        (
            "SELECT CAST('secret' AS INT)",
            1,
            "[SPARK_JOB] the query failed: got CAST_INVALID_INPUT (line 1, character 8)",
        ),
        ("SELECT 1 AS a, 2 AS a", 2, "[SQL_RESULT] an object of JSON: got several columns 'a'"),
        ("SELECT INTERVAL 1 DAY AS d", 2, "Select CAST(d AS STRING)"),
    ],
)
def test_an_error_is_one_line_without_java_and_without_values(
    sql: Callable[..., Any], statement: str, code: int, told: str
) -> None:
    found, out, err = sql(statement, "--format", "json")

    assert (found, out) == (code, "")
    assert told in err
    assert "secret" not in err
    assert [line for line in err.splitlines() if not line.startswith(("error ", "log "))] == []


def test_columns_of_one_name_are_kept(spark: SparkSession) -> None:
    table = run_statement(spark, "SELECT 1 AS a, 2 AS A, 3 AS a").table

    assert table.column_names == ["a", "A", "a"]
    assert [column.to_pylist() for column in table.columns] == [[1], [2], [3]]
