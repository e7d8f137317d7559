"""Ask Delta about a table by its path, whatever characters that has (driver)."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession


def describe(spark: SparkSession, what: str, path: str) -> DataFrame:
    """Run ``DESCRIBE HISTORY`` or ``DESCRIBE DETAIL`` of the table at a path; needs pinned settings.

    Args:
        spark: the session.
        what: ``HISTORY`` or ``DETAIL``.
        path: the table's path.
    """
    return spark.sql(f"DESCRIBE {what} {sql_text(path)}")


def sql_text(text: str) -> str:
    r"""Quote a text for Spark SQL, with all but letters, digits and a few harmless signs as escapes.

    Spark replaces ``${name}`` in a statement by a setting or a variable of the environment before it looks for quotes.
    Source: https://spark.apache.org/docs/latest/sql-ref-literals.html#string-literal, `spark.sql.variable.substitute`.

    >>> sql_text("/data/a-1"), sql_text("/${x}")
    ("'/data/a-1'", "'/\\u0024\\u007Bx\\u007D'")
    """
    return "'" + "".join(sign if _is_harmless(sign) else _escaped(sign) for sign in text) + "'"


def _is_harmless(sign: str) -> bool:
    return sign.isascii() and (sign.isalnum() or sign in "/._-")


def _escaped(sign: str) -> str:
    units = sign.encode("utf-16-be", "surrogatepass").hex().upper()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
