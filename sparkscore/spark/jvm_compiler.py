"""Let the second compiler of a local JVM wait for code that runs often. Runs on the driver.

HotSpot compiles a method twice: soon with C1, and with C2, which takes longer, when the method has run some thousand
times. Rows are scored in Python processes, which need the same cores at that time, and many sessions end before C2 has
paid.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

from sparkscore.spark.jvm_launch import JAVA_OPTIONS, OPTIONS_OF_THE_USER
from sparkscore.spark.prerequisites import noted_java

# Ten times HotSpot's defaults. What is called for each row of a large input has run as often within a second.
# Source: src/hotspot/share/compiler/compiler_globals.hpp.
_LATER: Final[Mapping[str, int]] = {
    "Tier4InvocationThreshold": 50_000,
    "Tier4MinInvocationThreshold": 6_000,
    "Tier4CompileThreshold": 150_000,
    "Tier4BackEdgeThreshold": 400_000,
}
# Versions of Java that are known to have these options. Java does not start with an option that it does not know.
_OLDEST: Final = 17
_NEWEST: Final = 25
_OF_A_COMPILER: Final = re.compile(r"-X(?:int|comp|mixed)\b|-client\b|-server\b|Tier|Compil|JVMCI")


def compiler_options(settings: Mapping[str, str]) -> str:
    """Return the options with which Java compiles with C2 later.

    Return an empty string if the user has chosen others, or if Java is not known to have these options.

    Args:
        settings: the Spark settings with which the JVM is started.
    """
    given = [*(os.environ.get(name, "") for name in OPTIONS_OF_THE_USER), *map(settings.get, JAVA_OPTIONS)]
    if not _OLDEST <= (noted_java() or 0) <= _NEWEST:
        return ""
    if any(_OF_A_COMPILER.search(options) for options in given if options):
        return ""
    return " ".join(f"-XX:{name}={value}" for name, value in _LATER.items())
