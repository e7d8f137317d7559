"""Read all settings of a session from the JVM in a few calls. Runs on the driver."""

from __future__ import annotations

import json
from typing import Any
from weakref import WeakKeyDictionary

from pyspark.sql import SparkSession

from sparkscore.spark.errors import SPARK_ERRORS

# For each session, the JVM object that writes JSON.
_writers: WeakKeyDictionary[SparkSession, Any] = WeakKeyDictionary()


def written_settings(spark: SparkSession) -> dict[str, str] | None:
    """Return the session's settings, which the JVM writes as JSON. None if this session or platform cannot do this.

    This is faster than `RuntimeConfig.getAll`, which calls the JVM several times for each setting.
    """
    jvm = getattr(spark, "_jvm", None)
    if jvm is None:
        return None
    try:
        # Jackson is among Spark's own jars.
        if spark not in _writers:
            _writers[spark] = jvm.com.fasterxml.jackson.databind.ObjectMapper()
        found = json.loads(_writers[spark].writeValueAsString(spark.conf._jconf.getAllAsJava()))  # noqa: SLF001
    except (*SPARK_ERRORS, AttributeError, TypeError, ValueError):  # py4j raises these for a class that does not exist
        return None
    return found if isinstance(found, dict) else None
