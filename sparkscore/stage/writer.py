"""Write the rows of one task attempt to Parquet files in the stage, where readers do not see them.

Runs on the workers.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import OutputContractError
from sparkscore.stage import layout
from sparkscore.stage.checksums import HashingFile
from sparkscore.stage.dictionaries import decode, paths_of_repeating, value_type_of
from sparkscore.stage.report import StagedFile
from sparkscore.stage.statistics import FloatColumns, paths_with_statistics
from sparkscore.stage.store import Store
from sparkscore.stage.surroundings import here, open_store

#: The value that Spark writes for NULL in a partition's path.
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
# Source: Spark's ExternalCatalogUtils.escapePathName. All readers of Hive partitions undo the escaping.
_ESCAPED = {chr(code) for code in (*range(0x01, 0x20), 0x7F)} | set("\"#%'*/:=?\\{[]^")
_BUFFER_ROWS = 128 * 1024
_BUFFER_BYTES = 64 * 1024 * 1024
_SMALL_BYTES = 64 * 1024
# PyArrow compares the size of a page with its limit of 1 MiB only after each batch of this many rows. Without texts and
# lists, a large batch saves time and is still far from the limit.
_ROWS_OF_A_BATCH = 1024
_ROWS_OF_A_NARROW_BATCH = 16 * 1024
_OPEN_FILES = 64
_LONGEST_NAME = 255


class StageWriter:
    """Writes one chunk's rows to a folder that no other task attempt uses.

    A task that is retried, or that runs twice at the same time, therefore never changes another task attempt's files.

    Rows are buffered until there are at least 128 Ki rows or 64 MiB, and then written to one file per partition. At
    most 64 files are open at a time: before another one is opened, the least recently used file is closed. A file is
    also closed if another row group as large as its last one would make it larger than `file_bytes`. Later rows of the
    partition then go to a new file.

    Columns may be dictionary-encoded. In the files, they are plain columns.

    Args:
        stage: path of the run's stage.
        unit: number of the task's work unit.
        rows_folder: `layout.ATTEMPTS` for result rows, or `layout.QUARANTINE` for failed items.
        partition_by: partition columns, whose values are written to folder names ``name=value``.
        left_out: columns that are not written.
        file_bytes: approximate maximum size of a file, or None if files may have any size.
    """

    def __init__(
        self,
        stage: str,
        unit: int,
        rows_folder: str = layout.ATTEMPTS,
        *,
        partition_by: Sequence[str] = (),
        left_out: Sequence[str] = (),
        file_bytes: int | None = None,
    ) -> None:
        self._store = open_store(stage)
        self._partition_by = list(partition_by)
        self._left_out = list(left_out)
        self._task_attempt = layout.task_attempt(rows_folder, unit, here().token())
        self._file_bytes = file_bytes
        self._buffer = RowBuffer(file_bytes)
        self._open: OrderedDict[str, OpenFile] = OrderedDict()
        self._files_made = 0
        self._finished: list[StagedFile] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Discard any files that are still open because `finish` was not called or failed."""
        for file in self._open.values():
            file.abandon()
        self._open.clear()

    def write(self, rows: pa.Table) -> None:
        """Add rows, except for the columns in `left_out`, to the buffer. A full buffer is written to files."""
        self._buffer.add(rows)
        if self._buffer.is_full:
            self._flush()

    def finish(self) -> tuple[StagedFile, ...]:
        """Write the buffered rows, close all files, and return the files that this writer wrote, if any."""
        self._flush()
        while self._open:
            self._close_oldest()
        return tuple(self._finished)

    def _flush(self) -> None:
        rows = self._buffer.take()
        if rows is None:
            return
        for folder, part in _split_by_partition(rows.drop_columns(self._left_out), self._partition_by):
            file = self._file_in(folder, part)
            file.write(part)
            if self._file_bytes is not None and file.size_bytes + file.last_bytes > self._file_bytes:
                self._finished.append(self._open.pop(folder).close())

    def _file_in(self, folder: str, first: pa.Table) -> OpenFile:
        """Return the open file of a folder, or open a new one, whose first rows will be `first`."""
        if folder in self._open:
            self._open.move_to_end(folder)
            return self._open[folder]
        while len(self._open) >= _OPEN_FILES:
            self._close_oldest()
        self._files_made += 1
        path = layout.part(self._task_attempt, folder, self._files_made)
        self._open[folder] = OpenFile(self._store, path, first)
        return self._open[folder]

    def _close_oldest(self) -> None:
        _, file = self._open.popitem(last=False)
        self._finished.append(file.close())


class RowBuffer:
    """A buffer of rows that are written together, as one row group of a file.

    Args:
        file_bytes: approximate maximum size of a file, or None. The buffer counts as full at this size, or earlier.
    """

    def __init__(self, file_bytes: int | None = None) -> None:
        self._most_bytes = _BUFFER_BYTES if file_bytes is None else min(_BUFFER_BYTES, file_bytes)
        self._tables: list[pa.Table] = []
        self._rows = self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether there are enough rows for a row group."""
        return self._rows >= _BUFFER_ROWS or self._bytes >= self._most_bytes

    def add(self, rows: pa.Table) -> None:
        """Add rows to those in the buffer."""
        self._tables.append(rows)
        self._rows += rows.num_rows
        # The size of the buffers is found at once, but parts of a larger table share its buffers.
        size = rows.get_total_buffer_size()
        self._bytes += size if size <= _SMALL_BYTES else rows.nbytes

    def take(self) -> pa.Table | None:
        """Empty the buffer and return its rows, or None if there are none."""
        # Within a row group, PyArrow writes plain values once a dictionary differs from the ones before it.
        rows = pa.concat_tables(self._tables).unify_dictionaries() if self._rows else None
        self._tables, self._rows, self._bytes = [], 0, 0
        return rows


class OpenFile:
    """A Parquet file of the stage that is open for writing rows of one partition.

    Attributes:
        last_bytes: number of bytes that the last call of `write` added to the file.

    Args:
        store: the stage.
        path: path of the file, relative to the stage.
        first: the rows that will be written first. They determine the columns, and are not written yet.
    """

    def __init__(self, store: Store, path: str, first: pa.Table) -> None:
        self.last_bytes = 0
        self._path = path
        self._rows = 0
        self._floats = FloatColumns(first.schema)
        self._file = HashingFile(store.writer(path))
        self.writer = pq.ParquetWriter(
            self._file,
            first.schema,
            write_batch_size=_rows_of_a_batch(first.schema),
            write_page_checksum=True,
            use_dictionary=paths_of_repeating(first),
            write_statistics=paths_with_statistics(first.schema),
            store_schema=False,  # it would say which columns were dictionaries; Parquet's own types say all the rest
        )

    @property
    def size_bytes(self) -> int:
        """The number of bytes written so far."""
        return self._file.size_bytes

    def write(self, rows: pa.Table) -> None:
        """Write rows as a row group."""
        before = self.size_bytes
        self.writer.write_table(rows)
        self.last_bytes = self.size_bytes - before
        self._rows += rows.num_rows
        self._floats.add(rows)

    def close(self) -> StagedFile:
        """Complete the file, which makes it visible under its name, and return its description."""
        try:
            self.writer.add_key_value_metadata(self._floats.metadata())
            self.writer.close()
            self._file.close()
        finally:
            self._file.abandon()
        return StagedFile(self._path, self._rows, self._file.size_bytes, self._file.sha256)

    def abandon(self) -> None:
        """Discard the file, unless it is complete."""
        try:
            self.writer.close()
        finally:
            self._file.abandon()


def _rows_of_a_batch(schema: pa.Schema) -> int:
    """Return how many rows PyArrow writes at once: more if all columns are dictionaries or have values of one size."""
    is_narrow = all(map(_is_narrow, schema.types))
    return _ROWS_OF_A_NARROW_BATCH if is_narrow else _ROWS_OF_A_BATCH


def _is_narrow(type_: pa.DataType) -> bool:
    return any(is_kind(type_) for is_kind in (pa.types.is_primitive, pa.types.is_decimal, pa.types.is_dictionary))


def check_partition_values(rows: pa.Table, partition_by: tuple[str, ...]) -> None:
    """Check that the strings in partition columns can be used as folder names, and are not treated as NULL by readers.

    Spark and Delta treat the empty string and ``__HIVE_DEFAULT_PARTITION__`` as NULL. Only string columns are checked.

    Raises:
        OutputContractError: a value is empty, is ``__HIVE_DEFAULT_PARTITION__``, contains a NUL character, or is too
            long for a folder name.
    """
    for name in partition_by:
        column = rows.column(name)
        value_type = value_type_of(column.type)
        if pa.types.is_string(value_type) or pa.types.is_large_string(value_type):
            for value in pc.unique(column).to_pylist():
                _check_partition_text(name, value)


def _check_partition_text(name: str, value: str | None) -> None:
    if value in {"", NULL_PARTITION}:
        got, expected = f"an empty string or '{NULL_PARTITION}'", "text that a folder's name can tell from NULL"
    elif value is not None and ("\0" in value or len(_folder_name(name, value).encode()) > _LONGEST_NAME):
        got, expected = "a text with a NUL character, or one that is too long", "text that can be a folder's name"
    else:
        return
    raise OutputContractError(
        code=ErrorCode.OUTPUT_PARTITION_VALUE,
        what=f"partition column '{name}'",
        got=got,
        expected=expected,
        next_step="Return NULL or another text, or partition by another column.",
    )


def _split_by_partition(rows: pa.Table, partition_by: list[str]) -> Iterator[tuple[str, pa.Table]]:
    if not partition_by:
        yield "", rows
        return
    keys = decode(rows.select(partition_by))
    numbered = keys.append_column("__row", pa.array(range(keys.num_rows), pa.int64()))
    groups = numbered.group_by(partition_by, use_threads=False).aggregate([("__row", "list")])
    for group in groups.to_pylist():
        folder = "/".join(_folder_name(name, group[name]) for name in partition_by)
        yield folder, rows.take(pa.array(group["__row_list"], pa.int64())).drop_columns(partition_by)


def _folder_name(name: str, value: str | int | date | None) -> str:
    text = NULL_PARTITION if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return f"{escape_path(name)}={escape_path(text)}"


def escape_path(text: str) -> str:
    """Escape special characters in a partition column's name or value, as Spark does in paths.

    >>> escape_path("a/b=c é")
    'a%2Fb%3Dc é'
    """
    return "".join(f"%{ord(character):02X}" if character in _ESCAPED else character for character in text)


def unescape_path(text: str) -> str:
    """Undo `escape_path`, turning each ``%`` with two hexadecimal digits into one character.

    >>> unescape_path("a%2Fb%3Dc é"), unescape_path("100%")
    ('a/b=c é', '100%')
    """
    return re.sub("%([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), text)
