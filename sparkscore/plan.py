"""Plan a run: group the input files into mini-batches, and the mini-batches into work units. Runs on the driver."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.minibatch import MiniBatch
from sparkscore.stage.plan_file import PLAN_SCHEMA

# Each task slot gets four work units, the last of which is the smallest, so that all slots are busy to the end. More
# would be too slow, because Spark and the worker need 0.1 to 0.2 s of CPU time for each. If a task fails, only its last
# chunk is scored again. A large input has more work units, for clusters with more task slots than are known when the
# run is planned.
_UNITS_PER_SLOT: Final = 4
_MINI_BATCHES_PER_UNIT: Final = 256
_MOST_UNITS: Final = 2000
# The probe begins with mini-batches that are no more than this many times as large as the average.
_MUCH_LARGER: Final = 2


@dataclass(frozen=True, slots=True)
class InputFile:
    """An input file, with its metadata at the time when it was listed.

    Attributes:
        path, size_bytes, modified_ns: path, size in bytes, and modification time in nanoseconds. Two `InputFile`
            objects are equal if these three values are equal.
        inode, changed_ns: inode number, and time of the inode's last change. They reveal whether the file was replaced
            with another file of the same size and modification time.
        sample: digest of some or all of the file's bytes, or an empty string.
    """

    path: str
    size_bytes: int
    modified_ns: int
    inode: int = field(default=0, compare=False)
    changed_ns: int = field(default=0, compare=False)
    sample: str = field(default="", compare=False)


@dataclass(frozen=True)
class Snapshot:
    """The state of a run's input when it was opened: a list of files, a table version, or failed items.

    Failed items are files or quarantined rows of an earlier run that are scored again.

    Attributes:
        format: ``files``, ``csv``, ``json``, ``parquet``, ``delta`` or ``quarantine``.
        location: path, glob or URI of the input, or a list of them. For failed items, the location of the quarantine
            table.
        version: version of a Delta table, or digest of the file list. For quarantined rows, a string that identifies
            the rows to score.
        size_bytes: total size of the input files. For quarantined rows, their size in memory.
        items: number of files or rows, or None if the rows have not been counted.
        files: the input files; empty for a Delta table and for quarantined rows.
        skipped: number of skipped files, folders and repeated paths, by reason.
        table_id: id of a Delta table, or None for other inputs. A table that is dropped and created again gets a new
            id.
        order_doubt: why the column order is uncertain, or an empty string.
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
        """Whether the items are ``files`` or ``rows``."""
        return "files" if self.format == "files" else "rows"


@dataclass(frozen=True)
class Plan:
    """A run's input and, if the items are files, its mini-batches. Rows are split into mini-batches by the workers.

    Attributes:
        snapshot: the input as it was when it was opened.
        unit_count: number of work units, or None if Spark's partitions are the work units.
        mini_batches: table with a row for each file, ordered by work unit, or None if the items are rows.
    """

    snapshot: Snapshot
    unit_count: int | None = None
    mini_batches: pa.Table | None = None


def plan_run(snapshot: Snapshot, mini_batch_files: int | None, task_slots: int) -> Plan:
    """Group the input files into mini-batches, and the mini-batches into work units.

    A mini-batch consists of consecutive files, so the mini-batches depend only on the file list and the mini-batch
    size. The work units also depend on the file sizes and on `task_slots`. If the items are rows, the plan contains no
    mini-batches.

    Args:
        snapshot: the input as it was when it was opened.
        mini_batch_files: number of files per mini-batch, or None if the deployment sets a number of bytes. Not used if
            the items are rows.
        task_slots: number of tasks that can run at the same time.

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
    in_order = [(unit, number) for unit, numbers in enumerate(units) for number in numbers]
    columns = [
        [unit for unit, number in in_order for _ in groups[number]],
        [str(number) for _, number in in_order for _ in groups[number]],
        [file.path for _, number in in_order for file in groups[number]],
    ]
    arrays = [pa.array(*each) for each in zip(columns, PLAN_SCHEMA.types, strict=True)]
    return Plan(snapshot, len(units), pa.table(arrays, schema=PLAN_SCHEMA))


def first_mini_batches(plan: Plan, count: int) -> list[MiniBatch]:
    """Return the first mini-batches of files, in the order in which the probe tries them.

    Mini-batches that are much larger than the others come last: the other task slots are idle during the probe.

    Args:
        plan: a plan of files.
        count: maximum number of mini-batches.
    """
    if plan.mini_batches is None or not plan.snapshot.files:
        return []
    names = [str(number) for number in range(count)]
    rows = plan.mini_batches.filter(pc.is_in(plan.mini_batches["mini_batch"], pa.array(names)))
    files: dict[str, list[str]] = {}
    for name, path in zip(rows["mini_batch"].to_pylist(), rows["path"].to_pylist(), strict=True):
        files.setdefault(name, []).append(path)
    size_of = {file.path: file.size_bytes for file in plan.snapshot.files}
    most = _MUCH_LARGER * plan.snapshot.size_bytes / pc.count_distinct(plan.mini_batches["mini_batch"]).as_py()
    found = [MiniBatch(name, tuple(files[name]), input_position=name) for name in names if name in files]
    return sorted(found, key=lambda each: sum(size_of.get(path, 0) for path in each.files) > most)


def digest_of_files(files: Iterable[InputFile]) -> str:
    """Return a digest of the files' paths, sizes, modification times and samples. The order of the files matters."""
    digest = hashlib.sha256()
    for file in files:
        line = f"{file.path}\0{file.size_bytes}\0{file.modified_ns}\0{file.sample}\n"
        digest.update(line.encode(errors="surrogateescape"))
    return f"sha256:{digest.hexdigest()}"


def _deal_out(sizes: Sequence[int], task_slots: int) -> list[list[int]]:
    """Distribute mini-batches over work units, fewer to the last ones, which even out how long task slots are busy.

    Args:
        sizes: size of each mini-batch in bytes.
        task_slots: number of tasks that can run at the same time.

    Returns:
        for each work unit, the numbers of its mini-batches in ascending order. The largest work units come first, so
        that Spark starts them first.
    """
    wanted = max(_UNITS_PER_SLOT * task_slots, -(-len(sizes) // _MINI_BATCHES_PER_UNIT))
    unit_count = min(len(sizes), wanted, _MOST_UNITS)
    # With four work units, a slot has four, three, two and one tenths of its share.
    rounds = -(-unit_count // task_slots)
    shares = [rounds - unit // task_slots for unit in range(unit_count)]
    units: list[list[int]] = [[] for _ in shares]
    weights = [0] * unit_count
    emptiest = [(0.0, unit) for unit in range(unit_count)]
    for number in sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True):  # in order where sizes are equal
        unit = emptiest[0][1]
        units[unit].append(number)
        # One byte is added to each mini-batch, so that mini-batches of empty files are distributed as well.
        weights[unit] += sizes[number] + 1
        heapq.heapreplace(emptiest, (weights[unit] / shares[unit], unit))
    return [sorted(units[unit]) for unit in sorted(range(unit_count), key=weights.__getitem__, reverse=True)]
