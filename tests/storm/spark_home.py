"""Give the drivers a Spark home of their own, which starts faster: a storm is mostly drivers that start."""

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
    """Make the home, and an archive of the classes that a driver loads; both are kept for the next storm."""
    home = folder / "home"
    link_spark(home)
    archive = folder / "classes.jsa"
    if not archive.exists():
        _write_archive(archive, home)
    return SparkHome(home, _options(f"-XX:SharedArchiveFile={archive}") if archive.exists() else {})


def link_spark(home: Path) -> None:
    """Make a home of links: a local cluster writes its folder 'work' there, and there is no setting for that."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    for entry in Path(pyspark.__file__).parent.iterdir():
        (home / entry.name).symlink_to(entry)
    (home / "work").unlink(missing_ok=True)


def _write_archive(archive: Path, home: Path) -> None:
    """Archive the classes of this home; without an archive, drivers start as slowly as ever."""
    command = [sys.executable, "-m", "tests.support.archive", str(archive)]
    environment = os.environ | {"SPARK_HOME": str(home)}
    with archive.with_suffix(".log").open("w") as log:
        subprocess.run(command, cwd=_ROOT, env=environment, stdout=log, stderr=log, check=False)


def _options(java: str) -> dict[str, str]:
    return {"spark.driver.extraJavaOptions": java, "spark.executor.extraJavaOptions": java}
