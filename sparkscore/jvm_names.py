"""Refuse names of files that the session's JVM cannot open, before anything is scored (driver)."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import SparkSession

from sparkscore.errors import ConfigError


def refuse_unreadable_names(spark: SparkSession, names: Iterable[str]) -> None:
    """Refuse names beyond ASCII where the JVM was started in a locale that has ASCII only.

    Source: Java takes the encoding of file names from the locale that it was started in, once. `local_session` starts
    its own in UTF-8; ``spark-submit`` under ``LC_ALL=C`` does not. Over Spark Connect nothing is known, nor refused.

    Raises:
        ConfigError: code ``NAME_ENCODING``.
    """
    jvm = getattr(spark, "_jvm", None)
    encoding = None if jvm is None else jvm.java.lang.System.getProperty("sun.jnu.encoding")
    if not isinstance(encoding, str) or "utf" in encoding.lower():
        return
    for name in names:
        try:
            name.encode("ascii")
        except UnicodeEncodeError:
            raise ConfigError(
                code="NAME_ENCODING",
                what=f"Spark's JVM cannot open '{name}'",
                got=f"a JVM whose file names are in {encoding}",
                expected="UTF-8",
                next_step="Set LC_ALL=C.UTF-8 where spark-submit is started, and run again.",
            ) from None
