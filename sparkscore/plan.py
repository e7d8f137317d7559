"""Plan a run: divide the input files into mini-batches, and the mini-batches into work units (driver)."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.stage.plan_file import PLAN_SCHEMA

# If a task fails, its whole work unit is scored again. So work units should be small: each task slot gets ten of them,
# and more if the input is large. Even smaller ones would cost too much time, because Spark needs about 50 ms per task.
_UNITS_PER_SLOT: Final = 10
_MINI_BATCHES_PER_UNIT: Final = 32
_MOST_UNITS: Final = 2000


@dataclass(frozen=True)
class InputFile:
    """A file of the input, with its metadata from the time when it was listed.

    Attributes:
        path, size_bytes, modified_ns: path, size in bytes, and modification time in nanoseconds. Two `InputFile`
            objects are equal if these three values are equal.
        inode, changed_ns: inode and time of the inode's last change. If one of them has changed, the file may have been
            replaced with another one that has the same size and modification time.
        sample: digest of some of the file's bytes, or of all of them; an empty string if there is no sample.
    """

    path: str
    size_bytes: int
    modified_ns: int
    inode: int = field(default=0, compare=False)
    changed_ns: int = field(default=0, compare=False)
    sample: str = field(default="", compare=False)


@dataclass(frozen=True)
class Snapshot:
    """The input of a run as it was when it was opened: a list of files, a version of a table, or failed items.

    Failed items are those of an earlier run that are scored again. They are files or quarantined rows.

    Attributes:
        format: format of the input: ``files``, ``csv``, ``json``, ``parquet``, ``delta`` or ``quarantine``.
        location: path, glob or URI of the input, or a list of several. If the items failed in an earlier run, the
            location of the quarantine table.
        version: version of a Delta table, or digest of the file list. For quarantined rows, a string that identifies
            the rows of the quarantine table that are scored.
        size_bytes: size of the input's files in bytes. For quarantined rows, their size in memory.
        items: number of files or rows, or None if the rows have not been counted.
        files: the files that are scored or whose rows are scored; empty for a Delta table and for quarantined rows.
        skipped: number of files and folders that are left out, and of repeated paths, by reason.
        table_id: id of a Delta table, or None for other inputs. If the table is removed and created again at the same
            location, it gets a new id.
        order_doubt: reason why the order of the columns is not known, or an empty string if it is known.
    """

    format: str
    location: str | list[str]
    version: int | str
    size_bytes: int
    items: int | None
    files: tuple[InputFile, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    table_id: str | None = None
    order_doubt: str = ""

    @property
    def item_type(self) -> Literal["files", "rows"]:
        """The type of the items: ``files`` or ``rows``."""
        return "files" if self.format == "files" else "rows"


@dataclass(frozen=True)
class Plan:
    """The input of a run and, if its items are files, its mini-batches. An input of rows is split by the workers.

    Attributes:
        snapshot: the input as it was when it was opened.
        unit_count: number of work units, or None if Spark's partitions are the work units.
        mini_batches: table with a row for each file, ordered by work unit, or None for an input of rows.
    """

    snapshot: Snapshot
    unit_count: int | None = None
    mini_batches: pa.Table | None = None


def plan_run(snapshot: Snapshot, mini_batch_files: int | None, task_slots: int) -> Plan:
    """Return the plan of a run, in which an input of files is divided into mini-batches and work units.

    Each mini-batch contains files that follow one another in the file list. So the mini-batches depend only on the file
    list and on the mini-batch size. The work units also depend on the sizes of the files and on `task_slots`. The plan
    for an input of rows contains no mini-batches.

    Args:
        snapshot: the input as it was when it was opened.
        mini_batch_files: number of files in a mini-batch, or None if the deployment sets a number of bytes. The last
            mini-batch may have fewer files. Not used for an input of rows.
        task_slots: number of tasks that run at the same time. The number of work units depends on it.

    Raises:
        ConfigError: the items are files, but the deployment sets the mini-batch size in bytes.
    """
    if snapshot.item_type == "rows":
        return Plan(snapshot)
    if mini_batch_files is None:
        raise ConfigError(
            code=ErrorCode.MINI_BATCH_SIZE,
            what="'mini_batch_size' for an input of files",
            got="a number of bytes",
            expected="a number of files",
            next_step="Set 'mini_batch_size' to a whole number, for example 10.",
        )
    files = snapshot.files
    groups = [files[start : start + mini_batch_files] for start in range(0, len(files), mini_batch_files)]
    units = _deal_out([sum(file.size_bytes for file in group) for group in groups], task_slots)
    rows = [
        {"unit": unit, "mini_batch": str(number), "path": file.path}
        for unit, numbers in enumerate(units)
        for number in numbers
        for file in groups[number]
    ]
    return Plan(snapshot, len(units), pa.Table.from_pylist(rows, schema=PLAN_SCHEMA))


def digest_of_files(files: Iterable[InputFile]) -> str:
    """Return a digest of the paths, sizes, modification times and content samples of these files, in their order."""
    digest = hashlib.sha256()
    for file in files:
        line = f"{file.path}\0{file.size_bytes}\0{file.modified_ns}\0{file.sample}\n"
        digest.update(line.encode(errors="surrogateescape"))
    return f"sha256:{digest.hexdigest()}"


def _deal_out(sizes: Sequence[int], task_slots: int) -> list[list[int]]:
    """Assign mini-batches to work units, the largest first, so that the work units have similar sizes.

    Args:
        sizes: number of bytes of each mini-batch.
        task_slots: number of tasks that run at the same time.

    Returns:
        for each work unit, the numbers of its mini-batches in ascending order.
    """
    wanted = max(_UNITS_PER_SLOT * task_slots, -(-len(sizes) // _MINI_BATCHES_PER_UNIT))
    unit_count = min(len(sizes), wanted, _MOST_UNITS)
    units: list[list[int]] = [[] for _ in range(unit_count)]
    # Each mini-batch counts one byte more, so that mini-batches of empty files are distributed evenly.
    lightest = [(0, unit) for unit in range(unit_count)]
    for number in sorted(range(len(sizes)), key=lambda number: (-sizes[number], number)):
        weight, unit = heapq.heappop(lightest)
        units[unit].append(number)
        heapq.heappush(lightest, (weight + sizes[number] + 1, unit))
    return [sorted(unit) for unit in units]
