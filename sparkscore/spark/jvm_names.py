"""Check before scoring that Spark can open paths with special characters. Runs on the driver."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import SparkSession

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.location import local_path, spark_path


def refuse_colons_in_patterns(locations: Iterable[str]) -> None:
    """Raise an error if a path contains both a colon and a glob character, because Spark cannot read such a path.

    Args:
        locations: local paths or ``file:`` URIs. Relative paths are made absolute before the check.

    Raises:
        ConfigError: a path contains both a colon and a glob character, or a location is not local.
    """
    # Source: tried with Spark 4.2. Spark can write files to such a path, but its readers treat each path as a glob
    # pattern. If a path has glob characters, Hadoop parses the part of a folder name before a colon as a URI scheme,
    # and fails with ``URISyntaxException``.
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
    """Raise an error if a name has non-ASCII characters and the JVM does not use UTF-8 for file names.

    If the JVM's encoding of file names is unknown, nothing is checked.

    Args:
        spark: the session.
        names: file names or paths.

    Raises:
        ConfigError: a name has non-ASCII characters, and the JVM does not use UTF-8 for file names.
    """
    # Source: Java takes the encoding of file names from the locale in which the JVM was started, so a ``spark-submit``
    # with ``LC_ALL=C`` starts a JVM without UTF-8.
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
