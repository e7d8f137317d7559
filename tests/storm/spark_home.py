"""Give the drivers a Spark home of their own, which starts faster: a storm is mostly drivers that start."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Final

import pyspark

from tests.storm.driver import Life
from tests.storm.processes import wait_until
from tests.storm.rig import Kind, Rig, SparkHome

_LONGEST_S: Final = 300


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
    """Let a driver that nobody kills write the archive as it ends; without one, drivers start as fast as ever."""
    unfinished = archive.with_suffix(".unfinished")
    shutil.rmtree(archive.parent / "first", ignore_errors=True)
    spark = SparkHome(home, {"spark.driver.extraJavaOptions": f"-XX:ArchiveClassesAtExit={unfinished}"})
    life = Life(Rig(archive.parent / "first", Kind("rows", "script", "delta"), 40, spark), 0)
    try:
        end = time.monotonic() + _LONGEST_S
        while life.is_alive and time.monotonic() < end:
            time.sleep(0.1)
        has_ended = wait_until(lambda: not life.everything(), _LONGEST_S)
    finally:
        life.bury()
    if has_ended and life.has_ended_well and unfinished.exists():
        unfinished.rename(archive)
    shutil.rmtree(archive.parent / "first", ignore_errors=True)


def _options(java: str) -> dict[str, str]:
    return {"spark.driver.extraJavaOptions": java, "spark.executor.extraJavaOptions": java}
