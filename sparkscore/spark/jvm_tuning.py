"""Choose options for a local JVM, which shares its cores with the Python processes that score. Runs on the driver.

Rows are scored in Python. What the JVM's own threads compute at that time, for example a compiler or a garbage
collector, takes the cores from the scorers, and many sessions end before it has saved as much.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from sparkscore.spark.jvm_launch import JAVA_OPTIONS, OPTIONS_OF_THE_USER
from sparkscore.spark.local_master import local_slots
from sparkscore.spark.prerequisites import noted_java

# HotSpot compiles a method twice: soon with C1, and with C2, which takes longer, when the method has run some thousand
# times. Ten times HotSpot's defaults: what is called for each row of a large input has run as often within a second.
# Source: src/hotspot/share/compiler/compiler_globals.hpp.
_LATER: Final[Mapping[str, int]] = {
    "Tier4InvocationThreshold": 50_000,
    "Tier4MinInvocationThreshold": 6_000,
    "Tier4CompileThreshold": 150_000,
    "Tier4BackEdgeThreshold": 400_000,
}
_OF_A_COMPILER: Final = re.compile(r"-X(?:int|comp|mixed)\b|-client\b|-server\b|Tier|Compil|JVMCI")
# Whenever Spark's classes have filled the memory that they had, from 21 MB on, HotSpot looks for classes to unload. A
# session of Spark has 60 to 150 MB of them, and unloads none.
_ROOM_FOR_CLASSES: Final = "-XX:MetaspaceSize=256m"
# G1 marks the heap in threads of its own, beside the program. In a heap of Spark's default size, 1 GB, and with few
# task slots, a collector without threads needs less time for the same garbage. By default, its space for new objects
# depends on the machine's memory: 128 MB with 24 GiB. Rows that Spark reads would fill that many times a second.
_WITHOUT_THREADS: Final = ("-XX:+UseSerialGC", "-Xmn256m")
_FEW_SLOTS: Final = 4
# Java does not start with two collectors, so files of options that are not read here count as a choice.
_OF_A_COLLECTOR: Final = re.compile(
    r"-XX:[+-]Use\w+GC\b|Metaspace|-XX:[+-]?G1|-Xm[sxn]|Heap|NewSize|NewRatio|GCThreads|MaxGCPause|"
    r"(?i:driver[._-]memory)|SPARK_MEM\b|properties-file|-XX:Flags=|-XX:VMOptionsFile=|(?:^|[\s\"'=])@"
)
_MEMORY: Final = "spark.driver.memory"
_FILES_OF_SPARK: Final = ("spark-defaults.conf", "spark-env.sh", "java-opts")
# Versions of Java that are known to have these options. Java does not start with an option that it does not know.
_OLDEST: Final = 17
_NEWEST: Final = 25


def tuning_options(settings: Mapping[str, str], conf_folder: Path) -> str:
    """Return options for the JVM of a local session, separated by spaces.

    There are none for a compiler if the user has chosen one, and none for the garbage collector if the user has chosen
    that or the size of the heap. The result is empty if Java is not known to have these options.

    Args:
        settings: the Spark settings with which the JVM is started. They include ``spark.master``, which is local.
        conf_folder: the folder with the files that Spark reads whenever it starts. It may be missing.
    """
    if not _OLDEST <= (noted_java() or 0) <= _NEWEST:
        return ""
    return " ".join(_options(settings, _chosen(settings, conf_folder)))


def _options(settings: Mapping[str, str], chosen: str) -> Iterator[str]:
    if not _OF_A_COMPILER.search(chosen):
        yield from (f"-XX:{name}={value}" for name, value in _LATER.items())
    if _OF_A_COLLECTOR.search(chosen):
        return
    yield _ROOM_FOR_CLASSES
    if (local_slots(settings["spark.master"]) or _FEW_SLOTS + 1) <= _FEW_SLOTS:
        yield from _WITHOUT_THREADS


def _chosen(settings: Mapping[str, str], conf_folder: Path) -> str:
    """Return the user's options for Java as one text, from all places where Spark's launcher or Java looks for them."""
    texts = [os.environ.get(name, "") for name in (*OPTIONS_OF_THE_USER, "PYSPARK_SUBMIT_ARGS")]
    texts += [settings.get(key, "") for key in JAVA_OPTIONS]
    if os.environ.get("SPARK_DRIVER_MEMORY") or os.environ.get("SPARK_MEM") or settings.get(_MEMORY):
        texts.append(_MEMORY)
    for name in _FILES_OF_SPARK:
        with suppress(OSError):
            texts.append((conf_folder / name).read_text(encoding="utf-8", errors="replace"))
    return "\n".join(texts)
