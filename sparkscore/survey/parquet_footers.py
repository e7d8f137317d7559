"""Read layouts, row groups and NULL counts from the footers of many Parquet files. Runs on the driver and the workers.

The driver needs little of each footer. The workers return what they find as a text, in which each layout is written
once, and each file refers to its layout by number.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from sparkscore.object_store import ObjectStore, is_of_store, state_in
from sparkscore.parquet.problems import unreadable_object
from sparkscore.parquet.stored import is_by_statistics, layout_key, quick_key
from sparkscore.survey.each_file import read_each

# At most this many keys are kept. A file may have its own key, for example if pandas stored the number of rows.
_MOST_KEYS: Final = 1000

#: Paths of files; the columns whose NULLs are counted, or None for all columns; and the store of the files, or None if
#: they are local.
FooterShare = tuple[tuple[str, ...], tuple[str, ...] | None, ObjectStore | None]


class FoundFile(NamedTuple):
    """The layout and the row groups that the footer of a file describes.

    Attributes:
        layout: text that is equal for two files if `sparkscore.parquet.stored.describe` returns equal results for them,
            and either both or neither have rows. None if Arrow cannot read the columns.
        rows: the number of rows of each row group, or None if they do not add up to the rows of the file.
        sizes: the size of each row group in bytes, before compression.
        state: the state of an object in a store before its footer was read; see `sparkscore.object_store.state_in`.
            Empty for a local file.
    """

    layout: str | None
    rows: tuple[int, ...] | None
    sizes: tuple[int, ...]
    state: str = ""


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

    def add_file(self, rows: int, nulls: Mapping[str, int]) -> None:
        """Add the row count of a file, and the NULL counts of those columns for which the file has them."""
        if rows:
            self.files += 1
            self.rows += rows
            self.nulls.update(nulls)
            self.known.update(nulls.keys())

    def add(self, other: NullCounts) -> None:
        """Add the counts of other files."""
        self.rows += other.rows
        self.files += other.files
        self.nulls.update(other.nulls)
        self.known.update(other.known)

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
class FoundFooters:
    """The result of reading the footers of several files.

    Attributes:
        files: each file, in the order of the paths, or None for a file whose footer cannot be read.
        nulls: the NULL counts over the files whose footers can be read.
    """

    files: list[FoundFile | None]
    nulls: NullCounts


def find_footers(
    paths: Sequence[str], columns: Collection[str] | None, store: ObjectStore | None = None
) -> FoundFooters:
    """Read the footers of files, and add up their NULL counts.

    Args:
        paths: the paths of the files.
        columns: the columns whose NULLs are counted, or None for all columns.
        store: the store that contains the files, or None if they are local.
    """
    layouts, nulls = _Layouts(columns, store), NullCounts()
    files: list[FoundFile | None] = []
    for found in read_each(layouts.read, paths):
        files.append(None if found is None else found[0])
        if found is not None:
            nulls.add_file(*found[1])
    return FoundFooters(files, nulls)


def find_as_text(share: FooterShare) -> str:
    """Read the footers of files on a worker, and return the result as a text for `footers_in`."""
    found = find_footers(*share)
    layouts = list(dict.fromkeys(file.layout for file in found.files if file is not None))
    numbers = {layout: number for number, layout in enumerate(layouts)}
    files = [None if file is None else [numbers[file.layout], *file[1:]] for file in found.files]
    return json.dumps({"layouts": layouts, "files": files, "nulls": vars(found.nulls)})


def footers_in(text: str) -> FoundFooters:
    """Parse a text that `find_as_text` returned."""
    found = json.loads(text)
    files = [None if file is None else _file_in(found["layouts"], *file) for file in found["files"]]
    nulls = found["nulls"]
    counts = NullCounts(nulls["rows"], nulls["files"], Counter(nulls["nulls"]), Counter(nulls["known"]))
    return FoundFooters(files, counts)


def _file_in(layouts: list[str | None], layout: int, rows: list[int] | None, sizes: list[int], state: str) -> FoundFile:
    return FoundFile(layouts[layout], None if rows is None else tuple(rows), tuple(sizes), state)


def read_metadata(path: str, store: ObjectStore | None = None) -> tuple[pq.FileMetaData, str] | None:
    """Return the footer of a file, or None if it cannot be read.

    With it comes the state of an object in a store, from the same request, or an empty string for a local file.

    Raises:
        SourceError: the store does not answer, or refuses to.
    """
    try:
        if store is None:
            return pq.read_metadata(path), ""
        with store.open(path) as opened:
            return pq.read_metadata(opened), state_in(opened)
    except (OSError, pa.ArrowException) as error:
        if is_of_store(error):
            raise unreadable_object(path, error) from error
        return None


@dataclass(frozen=True)
class _Layout:
    """The part of a footer that is the same in all files with the same columns.

    Attributes:
        digest: the value of `FoundFile.layout`.
        counted: position and name of each column whose NULLs are counted.
        is_shared: whether files with an equal `quick_key` have the same layout.
    """

    digest: str | None
    counted: tuple[tuple[int, str], ...]
    is_shared: bool = True


class _Layouts:
    """Reads footers. Columns that several files share are examined only once. Threads may share an object."""

    def __init__(self, columns: Collection[str] | None, store: ObjectStore | None = None) -> None:
        self._store = store
        self._columns = None if columns is None else frozenset(columns)
        self._known: dict[Hashable, _Layout] = {}

    def read(self, path: str) -> tuple[FoundFile, tuple[int, dict[str, int]]] | None:
        """Return a `FoundFile`, the number of rows and the NULL counts by column, or None if the footer is unreadable.

        A column is left out of the NULL counts in any of these cases:

        - It was not requested.
        - It is nested, or has a dot in its name.
        - The statistics of a row group do not contain its NULL count.
        """
        found = read_metadata(path, self._store)
        if found is None:
            return None
        metadata, state = found
        layout = self._layout_of(metadata)
        groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
        rows = tuple(group.num_rows for group in groups)
        is_whole = sum(rows) == metadata.num_rows and min(rows, default=0) >= 0
        sizes = tuple(group.total_byte_size for group in groups)
        file = FoundFile(layout.digest, rows if is_whole else None, sizes, state)
        counts = ((name, _nulls_in(groups, index)) for index, name in layout.counted)
        return file, (metadata.num_rows, {name: count for name, count in counts if count is not None})

    def _layout_of(self, metadata: pq.FileMetaData) -> _Layout:
        key = quick_key(metadata)
        known = self._known.get(key)
        if known is None:
            known = self._examine(metadata)
            if known.is_shared and len(self._known) < _MOST_KEYS:
                self._known[key] = known
        return known

    def _examine(self, metadata: pq.FileMetaData) -> _Layout:
        paths = (metadata.schema.column(index).path for index in range(metadata.num_columns))
        counted = tuple(
            (index, path)
            for index, path in enumerate(paths)
            if "." not in path and (self._columns is None or path in self._columns)
        )
        try:
            key = (layout_key(metadata), metadata.num_rows > 0)
            is_shared = not is_by_statistics(metadata.schema.to_arrow_schema())
        except pa.ArrowException:  # Arrow cannot read its schema
            return _Layout(None, counted)
        return _Layout(hashlib.sha256(repr(key).encode()).hexdigest(), counted, is_shared)


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
