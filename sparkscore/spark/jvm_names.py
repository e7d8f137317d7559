"""Check, before anything is scored, that the session's JVM can open files with the given names (driver)."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import SparkSession

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.location import local_path, spark_path


def refuse_colons_in_patterns(locations: Iterable[str]) -> None:
    """Raise an error for locations that Spark could write to but not read again.

    Source: tried with Spark 4.2. Its readers treat each path as a glob pattern. If a path has characters of a pattern,
    Hadoop reads the text before a colon in a folder's name as the scheme of a URI (``URISyntaxException``).

    Raises:
        ConfigError: code ``NAME_COLON``.
    """
    for location in locations:
        path = str(local_path(location).absolute())
        if ":" in path and path != spark_path(path):
            raise ConfigError(
                code=ErrorCode.NAME_COLON,
                what=f"Spark cannot read files below '{path}'",
                got="a colon beside one of []{}*?\\ in the names of folders",
                expected="one or the other",
                next_step="Name another folder.",
            )


def refuse_unreadable_names(spark: SparkSession, names: Iterable[str]) -> None:
    """Raise an error for names with non-ASCII characters if the JVM was started in an ASCII locale.

    Source: Java takes the encoding of file names from the locale in which it was started. `local_session` starts it
    with UTF-8; ``spark-submit`` under ``LC_ALL=C`` does not. With Spark Connect, the encoding is unknown and nothing is
    checked.

    Args:
        spark: the session.
        names: paths or names of files.

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
