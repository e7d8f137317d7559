"""Archive the Java classes that Spark loads, so that JVMs start faster: python -m tests.support.archive FILE."""

from __future__ import annotations

import sys
from pathlib import Path

from sparkscore.spark.archive_maker import write_archive


def main(archive: Path) -> None:
    """Write the archive. Only JVMs with the same ``SPARK_HOME`` can use it."""
    unfinished = archive.with_suffix(".unfinished")
    if not write_archive(unfinished, with_delta=True):
        sys.exit("Java did not write the archive.")
    unfinished.replace(archive)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
