"""Read from the JVM how a session reaches an S3 store. Runs on the driver."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pyspark.sql import SparkSession

from sparkscore.spark.errors import SPARK_ERRORS

_PREFIX: Final = "fs.s3a."
_CONNECTOR: Final = "org.apache.hadoop.fs.s3a.S3AFileSystem"
_SECRETS_ELSEWHERE: Final = "hadoop.security.credential.provider.path"
# Where Hadoop itself sets the values that nobody has set.
_DEFAULTS: Final = "core-default.xml"


@dataclass(frozen=True)
class S3Settings:
    """Hadoop's settings for S3, without those that have their default values.

    Attributes:
        given: the settings, without ``fs.s3a.`` in front. Some are secrets.
        has_connector: whether the JVM has Hadoop's connector for S3, so that Spark can read from the store.
        has_provider: whether secrets are in a credential provider of Hadoop.
    """

    given: Mapping[str, str] = field(repr=False)
    has_connector: bool
    has_provider: bool


def find_s3_settings(spark: SparkSession) -> S3Settings | None:
    """Return the settings with which Spark's readers would read from S3. None if this session does not show them.

    A Spark Connect session does not, and neither do platforms that restrict the JVM.
    """
    jvm = getattr(spark, "_jvm", None)
    if jvm is None:
        return None
    try:
        # The settings of the session are part of it, as for Spark's readers.
        conf = spark._jsparkSession.sessionState().newHadoopConf()  # noqa: SLF001
        # Jackson is among Spark's own jars.
        found = json.loads(
            jvm.com.fasterxml.jackson.databind.ObjectMapper().writeValueAsString(conf.getPropsWithPrefix(_PREFIX))
        )
        given = {name: str(value) for name, value in found.items() if _is_given(conf, f"{_PREFIX}{name}")}
        return S3Settings(
            given,
            has_connector=conf.getClassByNameOrNull(_CONNECTOR) is not None,
            has_provider=bool(conf.get(_SECRETS_ELSEWHERE)),
        )
    except (*SPARK_ERRORS, AttributeError, TypeError, ValueError):  # py4j raises these for a class that does not exist
        return None


def _is_given(conf: object, name: str) -> bool:
    sources = conf.getPropertySources(name)  # type: ignore[attr-defined]
    return sources is None or list(sources) != [_DEFAULTS]
