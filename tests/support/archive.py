"""Archive the Java classes that Spark loads, so that JVMs start faster: python -m tests.support.archive FILE."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from sparkscore.spark.session import local_session


def main(archive: Path) -> None:
    """Start a JVM that writes the archive when it ends. Only JVMs with the same ``SPARK_HOME`` can use the archive."""
    unfinished = archive.with_suffix(".unfinished")
    os.environ["SPARK_SUBMIT_OPTS"] = f'-XX:ArchiveClassesAtExit="{unfinished}"'
    with tempfile.TemporaryDirectory() as folder:
        spark = local_session(master="local[1]", log_file=f"{folder}/spark.log")
        spark.range(3).mapInArrow(lambda batches: batches, "id bigint").write.format("delta").save(f"{folder}/table")
        spark.read.format("delta").load(f"{folder}/table").count()
        java = spark.sparkContext._gateway.proc  # type: ignore[union-attr]  # there is one: it was just started
        spark.stop()
        java.stdin.close()
        java.wait(300)
    unfinished.replace(archive)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
