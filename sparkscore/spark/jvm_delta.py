"""Ask Delta in the session's JVM which table features it supports (driver)."""

from __future__ import annotations

from pyspark.sql import SparkSession

from sparkscore.spark.errors import SPARK_ERRORS


def supported_features(spark: SparkSession) -> frozenset[str] | None:
    """Return the table features that the session's Delta supports, in lower case.

    Returns:
        the names, or None with Spark Connect and on platforms with their own implementation of Delta.
    """
    try:
        features = spark._jvm.org.apache.spark.sql.delta.TableFeature.allSupportedFeaturesMap()  # type: ignore[union-attr]  # noqa: SLF001
        return frozenset(str(features.keySet().mkString(",")).split(","))
    except (*SPARK_ERRORS, AttributeError, TypeError):  # py4j's answers for a class that does not exist
        return None
