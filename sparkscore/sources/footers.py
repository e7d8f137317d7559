"""Read the footers of Parquet files: column types, compression codecs, NULL counts and row groups. Runs on the driver.

To save memory, files with equal footers share one `Footer`, and NULLs are counted per column over all files. If there
are thousands of files, the workers read the footers.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
from pyspark.sql import SparkSession

from sparkscore.errors import SparkscoreError
from sparkscore.object_store import ObjectStore
from sparkscore.parquet.stored import StoredFile, describe
from sparkscore.plan import InputFile
from sparkscore.row_units import FileRows
from sparkscore.sources.parquet_types import FileType, file_type
from sparkscore.spark.jobs import task_slots
from sparkscore.spark.map_in_arrow import map_on_workers
from sparkscore.survey.parquet_footers import (
    FoundFile,
    FoundFooters,
    NullCounts,
    find_as_text,
    find_footers,
    footers_in,
    read_metadata,
)

logger = logging.getLogger("sparkscore")

# Reading a footer takes a quarter of a millisecond, nearly all of it in Python. The workers need a second to start.
_MOST_HERE: Final = 4000
_LEAST_SHARE: Final = 500
_SHARES_PER_SLOT: Final = 4


@dataclass(frozen=True)
class Footer:
    """The parts of a Parquet file's footer that determine how the file is read.

    Attributes:
        columns: the type of each column, in file order.
        stored: how the columns are stored.
        old_times: the columns with INT96 timestamps that may have nanoseconds, which Spark truncates to microseconds.
            The set is empty if Spark wrote the file.
        is_empty: whether the file has no rows.
    """

    columns: Mapping[str, FileType]
    stored: StoredFile
    old_times: frozenset[str] = frozenset()
    is_empty: bool = False

    @property
    def codecs(self) -> frozenset[str]:
        """The compression codecs of the first row group."""
        return self.stored.codecs


@dataclass(frozen=True)
class Footers:
    """The footers of an input's Parquet files.

    Attributes:
        of_files: the footer of each file, in the order of the files, or None for a footer that cannot be read.
        nulls: the NULL count of each column over all files.
        rows: the rows of each file, or None for a file whose footer cannot be read or contradicts itself.
        states: the state of each file in a store before its footer was read. Empty for a local file, and for a footer
            that cannot be read.
    """

    of_files: list[Footer | None]
    nulls: NullCounts
    rows: list[FileRows | None]
    states: list[str]

    def count_rows(self) -> int | None:
        """Return the number of rows in all files, or None if it is not known for a file."""
        total = 0
        for file in self.rows:
            if file is None:
                return None
            total += sum(file.rows)
        return total


def read_footers(
    files: Sequence[InputFile],
    columns: Collection[str] | None = None,
    spark: SparkSession | None = None,
    store: ObjectStore | None = None,
) -> Footers:
    """Return the footers of Parquet files, and the NULL counts of their columns.

    Args:
        files: the files.
        columns: the columns whose NULLs are counted, or None for all columns.
        spark: the session whose workers read the footers of many files, or None if the driver must read all.
        store: the store that contains the files, or None if they are local.
    """
    paths = [file.path for file in files]
    found = _find(paths, columns, spark, store)
    rows = [
        None if file is None or file.rows is None else FileRows(path, file.rows, file.sizes)
        for path, file in zip(paths, found.files, strict=True)
    ]
    states = ["" if file is None else file.state for file in found.files]
    return Footers(_describe(paths, found.files, store), found.nulls, rows, states)


def count_nulls(
    paths: Sequence[str],
    columns: Collection[str],
    rows: int | None = None,
    spark: SparkSession | None = None,
    store: ObjectStore | None = None,
) -> dict[str, int]:
    """Return the NULL counts of the given columns, from the footers of Parquet files.

    Args:
        paths: the paths of the files.
        columns: names of top-level columns.
        rows: the number of rows in the input, which may be fewer than in the files: a Delta table may have deleted
            rows. If None, the input has all rows of the files.
        spark: the session whose workers read the footers of many files, or None if the driver must read all.
        store: the store that contains the files, or None if they are local.

    Returns:
        the NULL counts by column. Columns whose count is not known are left out; see `NullCounts.of`.
    """
    return _find(paths, columns, spark, store).nulls.of(columns, rows) if columns and paths else {}


def names_of(footers: Iterable[Footer | None]) -> list[tuple[str, ...] | None]:
    """Return the column names of each file, or None for a file whose footer cannot be read."""
    return [None if footer is None else tuple(footer.columns) for footer in footers]


def _find(
    paths: Sequence[str],
    columns: Collection[str] | None,
    spark: SparkSession | None,
    store: ObjectStore | None,
) -> FoundFooters:
    """Read the footers on the driver, or on the workers if there are many."""
    found = None
    if spark is not None and len(paths) > _MOST_HERE:
        found = _find_on_workers(spark, paths, None if columns is None else tuple(columns), store)
    if found is None:
        found = find_footers(paths, columns, store)
    # The driver tries these files itself, because a worker on another host may not see a file that the driver sees. A
    # later check reports this before anything is scored.
    left = [number for number, file in enumerate(found.files) if file is None]
    if not left:
        return found
    again = find_footers([paths[number] for number in left], columns, store)
    found.nulls.add(again.nulls)
    for number, file in zip(left, again.files, strict=True):
        found.files[number] = file
    found.nulls.files += again.files.count(None)
    return found


def _find_on_workers(
    spark: SparkSession, paths: Sequence[str], columns: tuple[str, ...] | None, store: ObjectStore | None
) -> FoundFooters | None:
    """Read the footers on the workers, or return None if they fail to read local files. Later checks report why."""
    size = max(_LEAST_SHARE, -(-len(paths) // (_SHARES_PER_SLOT * task_slots(spark))))
    shares = [(tuple(paths[first : first + size]), columns, store) for first in range(0, len(paths), size)]
    found = FoundFooters([], NullCounts())
    try:
        for answer in map_on_workers(spark, find_as_text, shares):
            part = footers_in(answer)
            found.files.extend(part.files)
            found.nulls.add(part.nulls)
    except SparkscoreError as error:
        if store is not None:  # the driver would read the footers of all objects, only to let the workers fail later
            raise
        logger.info("the driver reads the footers of all files: %s", error.sentence)
        return None
    return found


def _describe(
    paths: Sequence[str], files: Sequence[FoundFile | None], store: ObjectStore | None
) -> list[Footer | None]:
    """Return a footer for each file. Files with the same layout share the footer of the first one."""
    known: dict[str, Footer] = {}
    footers: list[Footer | None] = []
    for path, file in zip(paths, files, strict=True):
        layout = None if file is None else file.layout
        if layout is not None and layout not in known and (footer := _read_footer(path, store)) is not None:
            known[layout] = footer
        footers.append(None if layout is None else known.get(layout))
    return footers


def _read_footer(path: str, store: ObjectStore | None) -> Footer | None:
    found = read_metadata(path, store)
    try:
        return None if found is None else _footer_of(describe(found[0]), is_empty=not found[0].num_rows)
    except pa.ArrowException:  # the file has changed since its layout was found
        return None


def _footer_of(stored: StoredFile, *, is_empty: bool) -> Footer:
    paths = [f"{leaf.path}." for leaf in stored.leaves if leaf.physical == "INT96"]
    old = frozenset(name for name in stored.schema.names if any(path.startswith(f"{name}.") for path in paths))
    uuids = {leaf.path for leaf in stored.leaves if leaf.logical == "UUID"}
    columns = {
        each.name: file_type(each, is_int96=each.name in old, is_uuid=each.name in uuids) for each in stored.schema
    }
    # Spark itself never writes nanoseconds, even into INT96.
    return Footer(columns, stored, frozenset() if stored.is_by_spark else old, is_empty)
