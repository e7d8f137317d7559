"""Run one SQL statement in a session, and return its result as an Arrow table. Runs on the driver."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, names
from sparkscore.spark.connect import working_on
from sparkscore.spark.errors import SPARK_ERRORS
from sparkscore.spark.quiet_errors import without_printed_errors
from sparkscore.spark.schema import arrow_type_or_none
from sparkscore.sql.cells import can_write
from sparkscore.sql.statement import STATE, explain_query_error


@dataclass(frozen=True)
class Answer:
    """The result of a statement.

    Attributes:
        table: the rows. It has no columns if the statement has no result.
        is_cut: whether there were more rows than were asked for.
    """

    table: pa.Table
    is_cut: bool = False


def run_statement(
    spark: SparkSession, statement: str, *, max_rows: int | None = None, has_unique_names: bool = False
) -> Answer:
    """Run a statement, and return its whole result.

    Args:
        spark: the session, classic or Spark Connect.
        statement: one SQL statement.
        max_rows: the largest number of rows to return. If None, all rows are returned.
        has_unique_names: whether the result must not have two columns of the same name.

    Raises:
        ConfigError: Spark does not understand the statement, or its result cannot be written.
        SparkscoreError: the query failed.
    """
    with working_on(spark), without_printed_errors():
        try:
            rows = spark.sql(statement)
            found = names_of(rows, has_unique_names=has_unique_names)
            if not found:
                return Answer(pa.table({}))
            # Some versions of Spark refuse to convert columns of the same name.
            rows = rows.toDF(*(str(number) for number in range(len(found))))
            table = (rows if max_rows is None else rows.limit(max_rows + 1)).toArrow()
        except SPARK_ERRORS as error:
            raise explain_query_error(error, statement) from error
    table = table.rename_columns(found)
    return Answer(table) if max_rows is None else Answer(table.slice(0, max_rows), table.num_rows > max_rows)


def names_of(rows: DataFrame, *, has_unique_names: bool) -> list[str]:
    """Return the names of a result's columns.

    Raises:
        ConfigError: a column has a type that cannot be written, or two columns have the same name.
    """
    schema = rows.schema
    for field in schema:
        type_ = arrow_type_or_none(field.dataType)
        if type_ is None or not can_write(type_):
            raise _refusal(
                f"column '{field.name}' of the result",
                field.dataType.simpleString(),
                f"Select CAST({field.name} AS STRING), or give the fields of a struct different names.",
            )
    if has_unique_names and (doubled := {name for name in schema.names if schema.names.count(name) > 1}):
        raise _refusal(
            "an object of JSON", f"several columns {names(doubled)}", "Give the columns different names with AS."
        )
    return list(schema.names)


def _refusal(what: str, got: str, next_step: str) -> ConfigError:
    return ConfigError(code=ErrorCode.SQL_RESULT, what=what, got=got, state=STATE, next_step=next_step)
