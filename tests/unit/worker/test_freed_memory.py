from __future__ import annotations

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest

from sparkscore.worker.freed_memory import keep_freed_memory

COUNTS_PAGE_FAULTS = """
import resource
import numpy as np
from sparkscore.worker.freed_memory import keep_freed_memory

keep_freed_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(250_000), np.ones(250_000)]
    del arrays
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library")
def test_freed_memory_is_kept_for_the_next_arrays() -> None:
    done = subprocess.run([sys.executable, "-c", COUNTS_PAGE_FAULTS], capture_output=True, text=True, check=True)

    assert int(done.stdout) < 100  # 1,000 pages of 4 KiB otherwise


@pytest.mark.parametrize("variable", ["", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "MALLOC_ARENA_MAX"])
def test_what_the_user_sets_for_memory_is_kept(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda option, value: calls.append((option, value)))
    monkeypatch.setattr("ctypes.CDLL", lambda _: library)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, "1")

    keep_freed_memory()

    assert bool(calls) == (variable in {"", "MALLOC_ARENA_MAX"})
