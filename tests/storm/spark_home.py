"""Make a Spark home for the drivers with an archive of Java classes, so that drivers start faster."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyspark

from tests.storm.rig import SparkHome

_ROOT = Path(__file__).parents[2]


def prepare_spark(folder: Path) -> SparkHome:
    """Make the Spark home and the archive of the classes that a driver loads. Both are kept for the next storm."""
    home = folder / "home"
    link_spark(home)
    archive = folder / "classes.jsa"
    if not archive.exists():
        _write_archive(archive, home)
    return SparkHome(home, _options(f"-XX:SharedArchiveFile={archive}") if archive.exists() else {})


def link_spark(home: Path) -> None:
    """Make a Spark home of symbolic links, because a local cluster writes its folder 'work' there."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    for entry in Path(pyspark.__file__).parent.iterdir():
        (home / entry.name).symlink_to(entry)
    (home / "work").unlink(missing_ok=True)


def _write_archive(archive: Path, home: Path) -> None:
    """Write the archive of the classes of this Spark home. If that fails, drivers only start more slowly."""
    command = [sys.executable, "-m", "tests.support.archive", str(archive)]
    environment = os.environ | {"SPARK_HOME": str(home)}
    with archive.with_suffix(".log").open("w") as log:
        subprocess.run(command, cwd=_ROOT, env=environment, stdout=log, stderr=log, check=False)


def _options(java: str) -> dict[str, str]:
    return {"spark.driver.extraJavaOptions": java, "spark.executor.extraJavaOptions": java}
