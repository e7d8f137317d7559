"""Run ``DESCRIBE`` statements on Delta tables whose paths may contain any characters. Runs on the driver."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import NOTHING_WRITTEN, MissingDependencyError
from sparkscore.spark.errors import SPARK_ERRORS, condition_of
from sparkscore.spark.prerequisites import DELTA_MINORS

#: Advice for `check_delta` where Spark would read a table of sparkscore's.
READ_ELSEWHERE = "Read it with another library, such as deltalake."
_NO_TABLE = "/dev/null/no-table"


def check_delta(spark: SparkSession, what: str, without_delta: str, state: str = NOTHING_WRITTEN) -> None:
    """Check that Delta Lake is available in the session, that is, that its jar and its SQL extension are loaded.

    Args:
        spark: a classic or Spark Connect session.
        what: the input or output that needs Delta, as named in the error message.
        without_delta: advice for the error message.
        state: what happened to the data, for the error message.

    Raises:
        MissingDependencyError: Delta Lake is not available in the session.
    """
    # Without the extension, the statement is a syntax error. With it, the error is that the table is missing.
    try:
        _parse(spark, f"DESCRIBE HISTORY {sql_text(_NO_TABLE)}")
    except SPARK_ERRORS as error:
        if condition_of(error) != "PARSE_SYNTAX_ERROR":
            return
        minor = ".".join(spark.version.split(".")[:2])
        start = "Or start the session with Delta's jar and SQL extension, as sparkscore.local_session() does."
        wait = f"Delta works with Spark {DELTA_MINORS[0]} to {DELTA_MINORS[-1]}; it has no jar for {minor} yet."
        raise MissingDependencyError(
            code=ErrorCode.DELTA_SESSION,
            what=f"{what} is a Delta table",
            got=f"a session of Spark {spark.version} without Delta",
            state=state,
            next_step=f"{without_delta} {start if minor in DELTA_MINORS else wait}",
        ) from error


def _parse(spark: SparkSession, statement: str) -> None:
    """Parse a statement, or run it where only a server can parse it."""
    session = getattr(spark, "_jsparkSession", None)
    if session is None:
        spark.sql(statement)
        return
    try:
        parser = session.sessionState().sqlParser()
    except (*SPARK_ERRORS, AttributeError, TypeError):  # a platform that forbids such calls
        spark.sql(statement)
        return
    parser.parsePlan(statement)


def describe(spark: SparkSession, what: str, path: str) -> DataFrame:
    """Return the result of ``DESCRIBE HISTORY`` or ``DESCRIBE DETAIL`` for a Delta table.

    Call this function inside `pinned_settings`, so that the session's settings cannot affect the result.

    Args:
        spark: the session.
        what: ``HISTORY`` or ``DETAIL``.
        path: path of the table.
    """
    return spark.sql(f"DESCRIBE {what} {sql_text(path)}")


def sql_text(text: str) -> str:
    r"""Return a Spark SQL literal for a string. Only ASCII letters, digits and ``/._-`` are left unescaped.

    Spark would replace an unescaped ``${name}`` with a setting or an environment variable, even inside quotes.
    Source: https://spark.apache.org/docs/latest/sql-ref-literals.html#string-literal, `spark.sql.variable.substitute`.

    >>> sql_text("/data/a-1"), sql_text("/${x}")
    ("'/data/a-1'", "'/\\u0024\\u007Bx\\u007D'")
    """
    return "'" + "".join(char if _is_harmless(char) else _escaped(char) for char in text) + "'"


def _is_harmless(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char in "/._-")


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex().upper()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
