"""Decide whether the workers wrote too many files for a table, compared with Spark. Runs on the driver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from sparkscore.stage import StagedFile
from sparkscore.stage.layout import within_task_attempt

# Spark's defaults for `spark.sql.files.maxPartitionBytes` and `spark.sql.files.openCostInBytes`.
_TASK_BYTES: Final = 128 * 1024 * 1024
#: If there are too many staged files, they are joined up to this size, which is the size that Spark would write.
JOINED_BYTES: Final = _TASK_BYTES
_OPEN_BYTES: Final = 4 * 1024 * 1024
# Up to this many small files do not slow down readers. Opening a larger one takes no time beside reading it.
_FEW: Final = 64
_SMALL_BYTES: Final = 16 * 1024 * 1024
_TIMES: Final = 4


def are_few(files: Sequence[StagedFile]) -> bool:
    """Return whether there are so few files that their number does not matter."""
    return len(files) <= _FEW


def why_too_many(files: Sequence[StagedFile], slots: int) -> str | None:
    """Return why there should be fewer files, or None if there are not many more than Spark would write.

    Files of 16 MiB or more do not count.

    Args:
        files: the staged files with rows.
        slots: number of tasks that Spark runs at the same time.
    """
    small = sum(file.size_bytes < _SMALL_BYTES for file in files)
    expected = files_of_spark(files, slots)
    if small <= max(_FEW, _TIMES * expected):
        return None
    return f"the workers wrote {len(files)} files, and Spark writes about {expected}"


def files_of_spark(files: Sequence[StagedFile], slots: int) -> int:
    """Estimate how many files Spark would write with the rows of some staged files.

    Without partition columns, each Spark task that reads files writes one file. With them, Spark first brings the rows
    of each partition together. Source: Spark's ``FilePartition.maxSplitBytes``.
    """
    sizes = Counter[str]()
    for file in files:
        sizes[within_task_attempt(file.path).rpartition("/")[0]] += file.size_bytes
    if set(sizes) - {""}:
        return sum(-(-size // _TASK_BYTES) for size in sizes.values())
    total = sum(file.size_bytes + _OPEN_BYTES for file in files)
    task_bytes = min(_TASK_BYTES, max(_OPEN_BYTES, total // max(slots, 1)))
    return min(-(-total // task_bytes), sum(-(-file.size_bytes // task_bytes) for file in files))


def files_of_size(files: Sequence[StagedFile], size_bytes: int) -> int:
    """Return how many files of a given size, at least one, are needed for the rows of some staged files."""
    return max(1, -(-sum(file.size_bytes for file in files) // size_bytes))


def rows_of_size(files: Sequence[StagedFile], size_bytes: int) -> int:
    """Estimate how many rows of some staged files, at least one, fit into a file of a given size."""
    total = sum(file.size_bytes for file in files)
    return max(1, sum(file.rows for file in files) * size_bytes // max(total, 1))
