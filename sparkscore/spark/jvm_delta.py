"""Ask the session's JVM what its Delta can write (driver)."""

from __future__ import annotations

from pyspark.sql import SparkSession

from sparkscore.spark.errors import SPARK_ERRORS


def supported_features(spark: SparkSession) -> frozenset[str] | None:
    """Name the table features that the session's Delta has, in lower case.

    Returns:
        the names; None over Spark Connect, and on platforms whose Delta is not the open one.
    """
    try:
        features = spark._jvm.org.apache.spark.sql.delta.TableFeature.allSupportedFeaturesMap()  # type: ignore[union-attr]  # noqa: SLF001
        return frozenset(str(features.keySet().mkString(",")).split(","))
    except (*SPARK_ERRORS, AttributeError, TypeError):  # what py4j makes of a class that is not there
        return None
