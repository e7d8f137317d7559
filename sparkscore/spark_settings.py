"""Change a setting of the Spark session for a moment (driver)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

#: Option of Spark's Parquet reader that compares the checksum of each page that has one, whatever the session says.
#: Source: parquet-hadoop's ParquetInputFormat.PAGE_VERIFY_CHECKSUM_ENABLED; it is off by default.
VERIFIED_PAGES = ("parquet.page.verify-checksum.enabled", "true")


@contextmanager
def session_setting(spark: SparkSession, key: str, value: str) -> Iterator[None]:
    """Let a setting have a value while the body runs; it is the session's, so it must be given back."""
    before = spark.conf.get(key, None)
    spark.conf.set(key, value)
    try:
        yield
    finally:
        if before is None:
            spark.conf.unset(key)
        else:
            spark.conf.set(key, before)
