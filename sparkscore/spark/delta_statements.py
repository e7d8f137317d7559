"""Run ``DESCRIBE`` statements on Delta tables whose paths may contain any characters. Runs on the driver."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession


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
