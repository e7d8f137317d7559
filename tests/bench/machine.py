"""Describe the machine and the versions of what is measured."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from tests.bench.registry import COMET_VERSION, ROOT

_PACKAGES: Final = (
    "sparkscore", "pyspark", "delta-spark", "deltalake", "pyarrow", "numpy", "pandas", "mlflow", "onnxruntime",
    "scikit-learn", "xgboost-cpu",
)  # fmt: skip
_LOCKS: Final = {"daft": "bench", "pysail": "bench", "ray": "bench"}


def describe() -> dict[str, Any]:
    """Return the machine, the versions, the commit, and how busy the machine was before the benchmark."""
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "processor": processor[1] if processor else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory[1]) / 2**20) if memory else None,
        "system": platform.platform(terse=True),
        "load": round(os.getloadavg()[0], 1),
        "commit": _commit(),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the version of Python and of each package; those of the bench environment are read from its lock."""
    found = {"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}}
    for name, lock in _LOCKS.items():
        locked = re.search(rf"^{name}==(\S+)", (ROOT / f"requirements-{lock}.txt").read_text(), re.MULTILINE)
        found[name] = locked[1] if locked else "not locked"
    return {**found, "comet": COMET_VERSION}


def _commit() -> str:
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False)
    return commit.stdout.strip() + ("-dirty" if changed.stdout.strip() else "")
