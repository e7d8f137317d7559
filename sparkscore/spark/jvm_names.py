"""Refuse names of files that the session's JVM cannot open, before anything is scored (driver)."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import SparkSession

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.location import local_path, spark_path


def refuse_colons_in_patterns(places: Iterable[str]) -> None:
    """Refuse places of files that Spark writes to and could not read again.

    Source: tried with Spark 4.2. Its readers take every path for a pattern, and where a path has signs of one, Hadoop
    takes what stands before a colon in a folder's name for the name of a store (``URISyntaxException``).

    Raises:
        ConfigError: code ``NAME_COLON``.
    """
    for place in places:
        path = str(local_path(place).absolute())
        if ":" in path and path != spark_path(path):
            raise ConfigError(
                code=ErrorCode.NAME_COLON,
                what=f"Spark cannot read files below '{path}'",
                got="a colon beside one of []{}*?\\ in the names of folders",
                expected="one or the other",
                next_step="Name another folder.",
            )


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
                code=ErrorCode.NAME_ENCODING,
                what=f"Spark's JVM cannot open '{name}'",
                got=f"a JVM whose file names are in {encoding}",
                expected="UTF-8",
                next_step="Set LC_ALL=C.UTF-8 where spark-submit is started, and run again.",
            ) from None
