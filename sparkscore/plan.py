"""The plan: a pinned input, cut into mini-batches and work units before the first model call (driver)."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.worker.planned import PLAN_SCHEMA

# A Python task costs Spark about 50 ms: enough units for a crash to cost a tenth of the run, and not many more; but no
# unit so long that trying it again costs much.
_UNITS_PER_SLOT: Final = 10
_MINI_BATCHES_PER_UNIT: Final = 32
_MOST_UNITS: Final = 2000


@dataclass(frozen=True)
class InputFile:
    """A file of the input as it was when the run was planned.

    Attributes:
        path, size_bytes, modified_ns: what tells files apart.
        inode, changed_ns: what changes too when a file is replaced under its old size and time, and not only then.
        sample: digest of some of its bytes, or of all.
    """

    path: str
    size_bytes: int
    modified_ns: int
    inode: int = field(default=0, compare=False)
    changed_ns: int = field(default=0, compare=False)
    sample: str = field(default="", compare=False)


@dataclass(frozen=True)
class Snapshot:
    """The input as it was pinned.

    Attributes:
        format: how the input is read.
        location: where it is, as the user named it.
        version: version of a table, or a digest of the file list.
        size_bytes: bytes of the input.
        items: files or rows; None where rows can only be counted by reading them.
        files: the files, sorted by path; empty for a table.
        skipped: number of files left out, by the reason.
        table_id: a table's own id, which a table that is removed and made again under its name does not have.
        order_doubt: why the order of the columns is not known; empty where it is.
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
    def kind(self) -> Literal["files", "rows"]:
        """What an item is."""
        return "files" if self.format == "files" else "rows"


@dataclass(frozen=True)
class Plan:
    """What will be scored, in which mini-batches.

    Attributes:
        snapshot: the pinned input.
        unit_count: number of Spark tasks; None where Spark's own partitions are the work units.
        mini_batches: the planned files, a row each, ordered by work unit; None where Spark brings rows.
    """

    snapshot: Snapshot
    unit_count: int | None = None
    mini_batches: pa.Table | None = None


def plan_run(snapshot: Snapshot, mini_batch_files: int | None, task_slots: int) -> Plan:
    """Cut an input of files into mini-batches; an input of rows is cut by the workers as the rows arrive.

    Files keep their order, so which files share a mini-batch depends on their names and the mini-batch size alone.
    Bytes decide only which work unit a mini-batch belongs to: the largest are dealt out first, each to the unit that
    has least.

    Args:
        snapshot: the pinned input.
        mini_batch_files: files in a mini-batch; None when the deployment gives bytes.
        task_slots: tasks that run at a time; it decides how many work units there are, not what is in a mini-batch.

    Raises:
        ConfigError: the files are to be cut by bytes.
    """
    if snapshot.kind == "rows":
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
    """Give a digest of a file list: paths, sizes, times of modification, and the samples of the contents."""
    digest = hashlib.sha256()
    for file in files:
        line = f"{file.path}\0{file.size_bytes}\0{file.modified_ns}\0{file.sample}\n"
        digest.update(line.encode(errors="surrogateescape"))
    return f"sha256:{digest.hexdigest()}"


def _deal_out(sizes: Sequence[int], task_slots: int) -> list[list[int]]:
    """Spread mini-batches, given by their bytes, over work units; within a unit they keep their order."""
    wanted = max(_UNITS_PER_SLOT * task_slots, -(-len(sizes) // _MINI_BATCHES_PER_UNIT))
    unit_count = min(len(sizes), wanted, _MOST_UNITS)
    units: list[list[int]] = [[] for _ in range(unit_count)]
    # An empty file costs a call as well: one byte more each spreads them by number.
    lightest = [(0, unit) for unit in range(unit_count)]
    for number in sorted(range(len(sizes)), key=lambda number: (-sizes[number], number)):
        weight, unit = heapq.heappop(lightest)
        units[unit].append(number)
        heapq.heappush(lightest, (weight + sizes[number] + 1, unit))
    return [sorted(unit) for unit in units]
