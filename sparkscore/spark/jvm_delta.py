"""Look up which table features the session's Delta library supports. Runs on the driver."""

from __future__ import annotations

from pyspark.sql import SparkSession

from sparkscore.spark.errors import SPARK_ERRORS


def supported_features(spark: SparkSession) -> frozenset[str] | None:
    """Return the lower-case names of the table features that the session's Delta library supports.

    Returns:
        the names, or None if they cannot be determined, for example on a platform with its own implementation of Delta.
    """
    try:
        features = spark._jvm.org.apache.spark.sql.delta.TableFeature.allSupportedFeaturesMap()  # type: ignore[union-attr]  # noqa: SLF001
        return frozenset(str(features.keySet().mkString(",")).split(","))
    except (*SPARK_ERRORS, AttributeError, TypeError):  # py4j raises these for a class that does not exist
        return None
