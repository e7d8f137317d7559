"""Refuse CSV files that end inside quotes: Spark takes all rows behind such a quote for one value (driver)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Row, SparkSession
from pyspark.sql.functions import col, length, lit, replace
from pyspark.sql.functions import sum as total

from sparkscore.errors import SourceError
from sparkscore.location import plain_path, spark_path
from sparkscore.plan import InputFile
from sparkscore.spark_settings import pinned_settings, read_from

_WIDE_ENCODINGS = ("utf-16", "utf-32")


def refuse_open_quotes(spark: SparkSession, files: Sequence[InputFile], options: Mapping[str, str]) -> None:
    """Count the quotes of each file in one Spark job; an odd number means one that is not closed.

    Source: tried with Spark 4.2: with ``multiLine`` neither FAILFAST nor any ``unescapedQuoteHandling`` tells of it.

    Raises:
        SourceError: with the first such file.
    """
    quote = options.get("quote", '"')
    encoding = options.get("encoding", options.get("charset", "utf-8")).lower()
    # A backslash before a quote makes it no end of a value, so with one the number says nothing.
    can_tell = options.get("multiLine") == "true" and options.get("escape") == quote != ""
    if not can_tell or encoding.startswith(_WIDE_ENCODINGS):
        return
    with pinned_settings(spark):
        found = _first_open_quote(spark, files, quote)
    if found is not None:
        raise SourceError(
            code="INPUT_OPEN_QUOTE",
            what=f"input file '{plain_path(found['file'])}'",
            got=f"an odd number of quotes ({found['n']:,}), so that one is not closed and takes the rows behind it",
            expected="each quote closed, and doubled inside a value",
            next_step="Correct the file; if quotes are part of values and no value holds a line end, set "
            "'input.options: {multiLine: \"false\"}'.",
        )


def _first_open_quote(spark: SparkSession, files: Sequence[InputFile], quote: str) -> Row | None:
    lines = read_from(spark, "text").load([spark_path(file.path) for file in files])
    quotes = length(col("value")) - length(replace(col("value"), lit(quote), lit("")))
    place = lines.metadataColumn("_metadata").getField("file_path")
    by_file = lines.select(place.alias("file"), quotes.alias("quotes")).groupBy("file").agg(total("quotes").alias("n"))
    return by_file.where(col("n") % 2 == 1).orderBy("file").first()
