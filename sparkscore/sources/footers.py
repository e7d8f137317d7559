"""Read the footers of Parquet files: column types, compression codecs, NULL counts and row groups. Runs on the driver.

To save memory, files with equal footers share one `Footer`, and NULLs are counted per column over all files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from sparkscore.parquet.stored import StoredFile, describe, layout_key
from sparkscore.plan import InputFile
from sparkscore.row_units import FileRows
from sparkscore.sources.parquet_types import FileType, file_type
from sparkscore.sources.reading import read_each


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


@dataclass
class NullCounts:
    """The NULL count of each column over several files, added up from the statistics in their footers.

    Attributes:
        rows: the number of rows in the files whose footer can be read.
        files: the number of files that have rows or whose footer cannot be read.
        nulls: for each column, the sum of the NULL counts in the files' statistics.
        known: for each column, the number of files whose statistics contain its NULL count.
    """

    rows: int = 0
    files: int = 0
    nulls: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)

    def add(self, file: _FileNulls | None) -> None:
        """Add the row count and the NULL counts of a file.

        Args:
            file: the counts, or None if the file's footer cannot be read.
        """
        if file is None:
            self.files += 1
        elif file.rows:
            self.files += 1
            self.rows += file.rows
            self.nulls.update(file.nulls)
            self.known.update(file.nulls.keys())

    def of(self, columns: Iterable[str], rows: int | None = None) -> dict[str, int]:
        """Return the NULL counts of the given columns. Columns whose count is not known are left out.

        Args:
            columns: names of top-level columns. A column with a dot in its name is left out.
            rows: the number of rows in the input, or None if the input has all rows of the files. A Delta table with
                deleted rows has fewer rows than its files.

        Returns:
            the NULL counts by column. 0 means that every file with rows has statistics, and none shows a NULL. A count
            above 0 is only returned if the input has all rows of the files. It may be too low, because some files may
            have no statistics.
        """
        are_all_read = rows is None or rows == self.rows
        # The path of a nested field, such as 'a.b', cannot be distinguished from the name of a column with a dot.
        totals = {name: self.nulls[name] for name in columns if "." not in name}
        return {
            name: total
            for name, total in totals.items()
            if (total and are_all_read) or (not total and self.known[name] == self.files)
        }


@dataclass(frozen=True)
class Footers:
    """The footers of an input's Parquet files.

    Attributes:
        of_files: the footer of each file, in the order of the files, or None for a footer that cannot be read.
        nulls: the NULL count of each column over all files.
        rows: the rows of each file, or None for a file whose footer cannot be read, or contradicts itself.
    """

    of_files: list[Footer | None]
    nulls: NullCounts
    rows: list[FileRows | None]

    def count_rows(self) -> int | None:
        """Return the number of rows in all files, or None if it is not known for a file."""
        total = 0
        for file in self.rows:
            if file is None:
                return None
            total += sum(file.rows)
        return total


def read_footers(files: Sequence[InputFile], columns: Collection[str] | None = None) -> Footers:
    """Return the footers of Parquet files, and the NULL counts of their columns.

    Args:
        files: the files.
        columns: the columns whose NULLs are counted, or None for all columns.
    """
    of_files: list[Footer | None] = []
    rows: list[FileRows | None] = []
    counts = NullCounts()
    for footer, nulls, of_file in read_each(_Layouts(columns).read, [file.path for file in files]):
        of_files.append(footer)
        rows.append(of_file)
        counts.add(nulls)
    return Footers(of_files, counts, rows)


def count_nulls(paths: Sequence[str], columns: Collection[str], rows: int | None = None) -> dict[str, int]:
    """Return the NULL counts of the given columns, from the footers of Parquet files.

    Args:
        paths: the paths of the files.
        columns: names of top-level columns.
        rows: the number of rows in the input, which may be fewer than in the files: a Delta table may have deleted
            rows. If None, the input has all rows of the files.

    Returns:
        the NULL counts by column. Columns whose count is not known are left out; see `NullCounts.of`.
    """
    if not columns or not paths:
        return {}
    counts = NullCounts()
    for metadata in read_each(_read_metadata, paths):
        counts.add(None if metadata is None else _nulls_of_file(metadata, columns))
    return counts.of(columns, rows)


def names_of(footers: Iterable[Footer | None]) -> list[tuple[str, ...] | None]:
    """Return the column names of each file, or None for a file whose footer cannot be read."""
    return [None if footer is None else tuple(footer.columns) for footer in footers]


@dataclass(frozen=True)
class _FileNulls:
    """The number of rows in a file, and the NULL count of each column.

    A column is left out in any of these cases:

    - It was not requested.
    - It is nested, or has a dot in its name.
    - The statistics of a row group do not contain its NULL count.
    """

    rows: int
    nulls: Mapping[str, int]


class _Layouts:
    """Creates the `Footer` of each file. Files with equal layouts share one, also if several threads create them."""

    def __init__(self, columns: Collection[str] | None) -> None:
        self._columns = columns
        self._known: dict[Hashable, Footer] = {}

    def read(self, path: str) -> tuple[Footer | None, _FileNulls | None, FileRows | None]:
        """Return the footer of a file, its NULL counts and its rows. Those that cannot be read are None."""
        metadata = _read_metadata(path)
        if metadata is None:
            return None, None, None
        try:
            footer = self._footer_of(metadata)
        except pa.ArrowException:  # Arrow cannot read its schema
            footer = None
        return footer, _nulls_of_file(metadata, self._columns), _rows_of(path, metadata)

    def _footer_of(self, metadata: pq.FileMetaData) -> Footer:
        layout = (layout_key(metadata), not metadata.num_rows)
        if layout not in self._known:
            self._known.setdefault(layout, _footer_of(describe(metadata), is_empty=not metadata.num_rows))
        return self._known[layout]


def _rows_of(path: str, metadata: pq.FileMetaData) -> FileRows | None:
    """Return the rows of a file, or None if those of its row groups do not add up to the rows of the file."""
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    rows = tuple(group.num_rows for group in groups)
    is_whole = sum(rows) == metadata.num_rows and min(rows, default=0) >= 0
    return FileRows(path, rows, tuple(group.total_byte_size for group in groups)) if is_whole else None


def _read_metadata(path: str) -> pq.FileMetaData | None:
    try:
        return pq.read_metadata(path)
    except (OSError, pa.ArrowException):
        return None


def _footer_of(stored: StoredFile, *, is_empty: bool) -> Footer:
    paths = [f"{leaf.path}." for leaf in stored.leaves if leaf.physical == "INT96"]
    old = frozenset(name for name in stored.schema.names if any(path.startswith(f"{name}.") for path in paths))
    columns = {each.name: file_type(each, is_int96=each.name in old) for each in stored.schema}
    # Spark itself never writes nanoseconds, even into INT96.
    return Footer(columns, stored, frozenset() if stored.is_by_spark else old, is_empty)


def _nulls_of_file(metadata: pq.FileMetaData, columns: Collection[str] | None) -> _FileNulls:
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    nulls = {}
    for index in range(metadata.num_columns):
        path = metadata.schema.column(index).path
        count = _nulls_in(groups, index) if "." not in path and (columns is None or path in columns) else None
        if count is not None:
            nulls[path] = count
    return _FileNulls(metadata.num_rows, nulls)


def _nulls_in(groups: Iterable[pq.RowGroupMetaData], index: int) -> int | None:
    """Return the NULL count of a column in a file, or None if the statistics of a row group do not contain it.

    Args:
        groups: the row groups of the file.
        index: the position of the column.
    """
    total = 0
    for group in groups:
        statistics = group.column(index).statistics
        if statistics is None or not statistics.has_null_count:
            return None
        total += statistics.null_count
    return total
