"""Find out which table features the Delta library in the session's JVM supports (driver)."""

from __future__ import annotations

from pyspark.sql import SparkSession

from sparkscore.spark.errors import SPARK_ERRORS


def supported_features(spark: SparkSession) -> frozenset[str] | None:
    """Return the names of the table features that the session's Delta library supports, in lower case.

    Returns:
        the names, or None if they cannot be found out, for example on a platform with a different implementation of
        Delta.
    """
    try:
        features = spark._jvm.org.apache.spark.sql.delta.TableFeature.allSupportedFeaturesMap()  # type: ignore[union-attr]  # noqa: SLF001
        return frozenset(str(features.keySet().mkString(",")).split(","))
    except (*SPARK_ERRORS, AttributeError, TypeError):  # py4j raises these for a class that does not exist
        return None
