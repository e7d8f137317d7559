"""Read rows of Parquet files with PyArrow, and convert them to the types of the input. Runs on the workers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from sparkscore.errors import names
from sparkscore.object_store import ObjectStore
from sparkscore.parquet.casting import Convert, InexactError
from sparkscore.parquet.conversion import find_conversions
from sparkscore.parquet.fetched import STREAM_BYTES, FetchedObject, ranges_of
from sparkscore.parquet.keys import FileKeys, FolderKeys
from sparkscore.parquet.opening import BUFFER_BYTES, open_parquet
from sparkscore.parquet.problems import changed_file, refused_value, unreadable_file
from sparkscore.parquet.stored import UnreadableError, describe

# A text that is stored once may be in many rows, so that rows may be much larger in memory than in the file.
_MOST_ROWS: Final = 16_384
# If values have a fixed size, the size of rows in memory is known. Larger batches are not faster.
_MOST_FIXED_ROWS: Final = 65_536
_BATCH_BYTES: Final = 16 * 1024 * 1024
# Of a row group of which less is needed, only the start is fetched from a store.
_SMALL_SHARE: Final = 0.5
_Source = str | FetchedObject
_AS_PLANNED: Final = "the columns that it had"


@dataclass(frozen=True)
class FilePart:
    """Consecutive rows of one file.

    Attributes:
        path: path of the file.
        first_row: number of the first row in the file, from 0.
        row_count: number of rows.
    """

    path: str
    first_row: int
    row_count: int


@dataclass(frozen=True)
class ColumnRead:
    """A column of the input.

    Attributes:
        name: name of the column.
        type: Arrow type of the values, the same as in rows that are read by Spark and passed to `settle_types`.
        is_nullable: whether the type allows NULL. The values are not checked.
        is_everywhere: whether each file with rows had the column when the run was planned. Otherwise, its values
            are NULL in the files that lack it.
    """

    name: str
    type: pa.DataType
    is_nullable: bool = True
    is_everywhere: bool = False


@dataclass(frozen=True)
class ParquetReader:
    """Reads rows of Parquet files with the same values and types as Spark's reader. It is sent to the workers.

    Attributes:
        columns: the columns to read, in the order of the input.
        keys: the partition columns, or None if there are none. Only those that are in `columns` are added to the rows.
        store: the store that contains the files, or None if they are local.
    """

    columns: tuple[ColumnRead, ...]
    keys: FileKeys | FolderKeys | None = None
    store: ObjectStore | None = None

    def schema(self) -> pa.Schema:
        """Return the schema of the record batches."""
        return pa.schema([pa.field(each.name, each.type, nullable=each.is_nullable) for each in self.columns])

    def only(self, names: Collection[str]) -> ParquetReader:
        """Return a reader that reads only the columns with the given names, in the same order as before."""
        return replace(self, columns=tuple(column for column in self.columns if column.name in names))

    def read(self, part: FilePart, step: int | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a part of a file, in file order.

        Only one page of each column and one record batch are in memory at a time, not a whole row group, unless the
        caller keeps a record batch. From a store, the columns of a row group are fetched together, in few requests, and
        are in memory as they are stored.

        Args:
            part: the rows to read.
            step: number of rows in which the caller divides the rows. If possible, a record batch has this number of
                rows or a multiple of it, so that the caller need not join the rows of two record batches.

        Raises:
            SourceSchemaError: the type of a column cannot hold a value exactly (code ``INPUT_VALUE``).
            SourceError: the file cannot be read, or differs from what the driver found.
        """
        buffer_bytes = BUFFER_BYTES if self.store is None else 0
        with _reported(part.path), _opened(part.path, self.store) as source, _open(source, buffer_bytes) as file:
            yield from _Rows(self, part, file, step, source).read()


class _Rows:
    """Reads the rows of a part of an open file."""

    def __init__(
        self, reader: ParquetReader, part: FilePart, file: pq.ParquetFile, step: int | None, source: _Source
    ) -> None:
        self._file, self._part, self._step, self._source = file, part, step, source
        self._schema = reader.schema()
        self._constants = {} if reader.keys is None else reader.keys.values_of(part.path)
        self._converts = self._find_converts(reader.columns)
        self._given: pa.Schema | None = None
        self._is_kept = False

    def read(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in file order, with the columns and types of the input."""
        left = self._part.row_count
        for group, first in self._find_groups():
            skipped = first
            for batch in self._group(group, first + left):
                # Even a slice of all rows takes time for each column.
                rows = batch.slice(skipped, left) if skipped or left < batch.num_rows else batch
                skipped = max(0, skipped - batch.num_rows)
                if rows.num_rows:
                    left -= rows.num_rows
                    yield self._convert(rows)
                del batch, rows  # before the next ones are read
                if not left:
                    return

    def _find_converts(self, columns: Sequence[ColumnRead]) -> dict[str, Convert]:
        """Return a conversion function for each column that the file has."""
        wanted = {column.name: column.type for column in columns if column.name not in self._constants}
        try:
            found = find_conversions(describe(self._file.metadata), wanted)
        except UnreadableError as error:
            raise changed_file(self._part.path, str(error), _AS_PLANNED) from error
        if lost := [column.name for column in columns if column.is_everywhere and column.name not in found]:
            raise changed_file(self._part.path, f"no column {names(lost)}", _AS_PLANNED)
        return found

    def _find_groups(self) -> Iterator[tuple[int, int]]:
        """Yield the row groups that contain rows of the part, each with the number of rows to skip at its start."""
        part, metadata = self._part, self._file.metadata
        end = part.first_row + part.row_count
        if end > metadata.num_rows:
            raise changed_file(part.path, f"{metadata.num_rows} rows", f"at least {end} rows")
        start = 0
        for group in range(metadata.num_row_groups):
            count = metadata.row_group(group).num_rows
            if count and start < end and start + count > part.first_row:
                yield group, max(0, part.first_row - start)
            start += count

    def _group(self, group: int, wanted: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a row group, as PyArrow reads them, in record batches of at most the wanted number of rows.

        Row groups are read one by one, because PyArrow may miss rows of a column: PyArrow 25 does so for some pages
        that have no values. Rows of the next row group would otherwise take their place.
        """
        metadata = self._file.metadata.row_group(group)
        if not self._converts:
            # No column is read, but the rows are counted.
            yield pa.record_batch({"": pa.nulls(metadata.num_rows)})
            return
        left = metadata.num_rows
        size = min(wanted, _batch_size(metadata, self._schema, self._step))
        file = self._fetched(metadata, (wanted + size) / left)
        for batch in file.iter_batches(size, [group], columns=list(self._converts), use_threads=False):
            left -= batch.num_rows
            yield batch
            del batch  # before the next one is read
        if left:
            raise unreadable_file(self._part.path, f"{metadata.num_rows - left} of {metadata.num_rows} rows")

    def _fetched(self, group: pq.RowGroupMetaData, share: float) -> pq.ParquetFile:
        """Fetch the columns of a row group if the file is in a store, and return the file from which to read them.

        Work units may end a few rows after the start of a row group. Then only the start of each column is fetched.

        Args:
            group: the row group.
            share: how much of its rows is needed, from the first one.
        """
        if not isinstance(self._source, FetchedObject):
            return self._file
        is_part = share < _SMALL_SHARE
        self._source.fetch(ranges_of(group, self._converts, share if is_part else 1))
        return _open(self._source, STREAM_BYTES, self._file.metadata) if is_part else self._file

    def _convert(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows with the columns and types of the input."""
        if self._given is None or not rows.schema.equals(self._given, check_metadata=True):
            self._given, self._is_kept = rows.schema, _is_kept(rows.schema, self._schema)
        if self._is_kept:
            return rows.replace_schema_metadata(None)
        columns = [self._column(field, rows) for field in self._schema]
        if not columns:
            return pa.RecordBatch.from_struct_array(pa.array([{}] * rows.num_rows, pa.struct([])))
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)

    def _column(self, field: pa.Field, rows: pa.RecordBatch) -> pa.Array:
        if field.name in self._constants:
            return pa.repeat(self._constants[field.name], rows.num_rows)
        if field.name not in self._converts:
            return pa.nulls(rows.num_rows, field.type)
        try:
            return self._converts[field.name](rows.column(field.name))
        except InexactError as error:
            raise refused_value(f"column '{field.name}'", str(error), self._part.path) from error


def _is_kept(given: pa.Schema, wanted: pa.Schema) -> bool:
    """Return whether rows that PyArrow has read are as they should be, so that no column needs to be converted.

    All values of a type that is not nested are kept if the type is the wanted one. Nested values may have to be built
    anew even if it is.
    """
    is_equal = given.remove_metadata().equals(wanted, check_metadata=True)
    return is_equal and bool(wanted.names) and not any(map(pa.types.is_nested, wanted.types))


def _batch_size(group: pq.RowGroupMetaData, schema: pa.Schema, step: int | None) -> int:
    """Return how many rows of a row group to read as one record batch: fewer if the rows are large.

    Args:
        group: the row group.
        schema: the columns to read.
        step: number of rows in which the caller divides the rows, or None.
    """
    row_bytes: int = max(1, group.total_byte_size // group.num_rows)
    most = _MOST_ROWS
    if all(map(pa.types.is_primitive, schema.types)):
        row_bytes, most = max(row_bytes, sum(type_.bit_width for type_ in schema.types) // 8), _MOST_FIXED_ROWS
    largest = max(1, _BATCH_BYTES // row_bytes)
    size = min(most, largest)
    if step is None or step > largest:
        return size
    return max(step, size // step * step)


@contextmanager
def _opened(path: str, store: ObjectStore | None) -> Iterator[_Source]:
    """Yield what PyArrow opens: the path of a local file, or an object of a store."""
    if store is None:
        yield path
        return
    with store.open(path) as source:
        yield FetchedObject(source)


def _open(source: _Source, buffer_bytes: int, metadata: pq.FileMetaData | None = None) -> pq.ParquetFile:
    # Memory mapping is not faster, and the process would be killed if the file were truncated in the meantime. With a
    # buffer, a store would get a request for each 256 KB of each column.
    return open_parquet(
        source,
        metadata=metadata,
        memory_map=False,
        buffer_size=buffer_bytes,
        coerce_int96_timestamp_unit="us",
        page_checksum_verification=True,
    )


@contextmanager
def _reported(path: str) -> Iterator[None]:
    """Convert an exception that PyArrow raises in the ``with`` block to a `SourceError`, unless memory ran out."""
    try:
        yield
    except pa.ArrowMemoryError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise unreadable_file(path, error) from error
