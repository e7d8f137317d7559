"""Start `sparkscore sql-server`, and ask it with beeline, the client that Spark brings along."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pyspark

JARS = Path(pyspark.__file__).parent / "jars"


def url_of(server: subprocess.Popen[str]) -> str:
    """Wait until the server listens, and return its URL. If it ends before, its messages are the error."""
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    if url.startswith("jdbc:hive2://"):
        return url
    raise AssertionError(server.communicate()[1])


def beeline(url: str, statements: Sequence[str], *options: str) -> subprocess.CompletedProcess[str]:
    """Run statements, also after one that fails. Results are lines of CSV on stdout, errors on stderr."""
    asked = [part for statement in statements for part in ("-e", statement)]
    command = ["java", "-cp", f"{JARS}/*", "org.apache.hive.beeline.BeeLine", "-u", url, "-n", "ann", *options]
    command += ["--silent=true", "--force=true", "--outputformat=csv2", "--showHeader=false", *asked]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)
    # Beeline prints its prompt before each statement, also if nobody types.
    ended.stdout = re.sub(r"0: jdbc:hive2:[^>]*> ", "", ended.stdout)
    return ended
