"""Define mini-batches and their size limit, and split a Spark task's rows into mini-batches.

Runs on the driver and the workers.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ScoringError
from sparkscore.row_size import size_in_bits

_BITS: Final = 8

#: A column that the driver adds: the file that each row comes from. The user's code never gets this column.
SOURCE_FILE_COLUMN = "__sparkscore_source_file"
#: Columns that the driver adds: the start and length, in bytes, of the file block that each row was read from.
BLOCK_COLUMNS = ("__sparkscore_block_start", "__sparkscore_block_length")
#: All columns that the driver adds.
HIDDEN_COLUMNS = (SOURCE_FILE_COLUMN, *BLOCK_COLUMNS)


@dataclass(frozen=True)
class MiniBatchLimit:
    """The maximum size of a mini-batch, in items or in bytes. If neither is set, each mini-batch is one whole file.

    Attributes:
        items: maximum number of files or rows.
        size_bytes: maximum size of the rows in Arrow's memory format, without validity bitmaps. A mini-batch with a
            single row may exceed it.
    """

    items: int | None = None
    size_bytes: int | None = None

    @property
    def is_file(self) -> bool:
        """Whether each mini-batch contains all rows of one file."""
        return self.items is None and self.size_bytes is None


@dataclass(frozen=True)
class MiniBatch:
    """The items that one call of ``run()`` gets: file paths, or rows.

    Attributes:
        mini_batch_id: name of the mini-batch within the run. Parts of a mini-batch share its name.
        files: if the items are files, their paths. If the items are rows, the files that they come from, or empty if
            these are not known.
        rows: the rows without the columns that sparkscore adds, or None if the items are files.
        input_position: string that identifies the items in the input, or None if their position is not known. Parts of
            a mini-batch share its string.
        is_indivisible: whether all rows must be scored in one call, because the model may return different values if it
            gets only some of them.
        first_row: number of the first row in its file, counted from 0, or None if the rows come from Spark or the items
            are files. Parts of a mini-batch share its number.
    """

    mini_batch_id: str
    files: tuple[str, ...]
    rows: pa.Table | None = None
    input_position: str | None = None
    is_indivisible: bool = False
    first_row: int | None = None

    @property
    def item_count(self) -> int:
        """The number of files or rows."""
        return len(self.files) if self.rows is None else self.rows.num_rows

    def halves(self) -> tuple[MiniBatch, MiniBatch]:
        """Return two mini-batches, each with half of the items. The second is larger if the number of items is odd."""
        middle = self.item_count // 2
        if self.rows is None:
            return replace(self, files=self.files[:middle]), replace(self, files=self.files[middle:])
        return replace(self, rows=self.rows.slice(0, middle)), replace(self, rows=self.rows.slice(middle))

    def only(self, positions: Sequence[int]) -> MiniBatch:
        """Return a copy of the mini-batch with only the items at these positions, in the given order."""
        if self.rows is None:
            return replace(self, files=tuple(self.files[position] for position in positions))
        return replace(self, rows=self.rows.take(pa.array(positions, pa.int64())))

    def without(self, positions: Collection[int]) -> MiniBatch:
        """Return a copy of the mini-batch without the items at these positions."""
        return self.only([position for position in range(self.item_count) if position not in positions])


def split_into_mini_batches(batches: Iterable[pa.RecordBatch], limit: MiniBatchLimit, unit: int) -> Iterator[MiniBatch]:
    """Split the rows of record batches into mini-batches, and yield the mini-batches in order.

    A mini-batch is complete when the next row would exceed the limit, or comes from a different file or a different
    block of a file. Record batches are read lazily.

    Args:
        batches: the record batches, some of which may be empty.
        limit: maximum size of a mini-batch.
        unit: number of the work unit. Mini-batches are named ``<unit>-<number>``, numbered from 0.

    Raises:
        ScoringError: each mini-batch must be a whole file, but Spark split a file.
    """
    return cut_into_mini_batches(_pieces_of_one_block(batches), limit, unit)


def cut_into_mini_batches(
    pieces: Iterable[tuple[FileBlock | None, pa.RecordBatch]], limit: MiniBatchLimit, unit: int
) -> Iterator[MiniBatch]:
    """Divide rows into mini-batches, and yield the mini-batches in order. See `split_into_mini_batches`.

    Args:
        pieces: record batches, each with the file block that all its rows come from, or None if the block is not known.
        limit: maximum size of a mini-batch.
        unit: number of the work unit.
    """
    pending = _Pending(limit, unit)
    for block, piece in pieces:
        if block != pending.block:
            yield from pending.flush()
            pending.begin(block)
        coming = pending.add(piece)
        # Nothing keeps the rows of this piece while the next one is read, except a mini-batch that is not full yet.
        del piece
        yield from coming
    yield from pending.flush()


class _Pending:
    """The rows of the next mini-batch that have been read so far, and the file block that they come from."""

    def __init__(self, limit: MiniBatchLimit, unit: int) -> None:
        self.block: FileBlock | None = None
        self._first_row = 0
        self._limit = limit
        self._capacity = sys.maxsize if limit.is_file else limit.items or _BITS * (limit.size_bytes or 1)
        self._unit = unit
        self._pieces: list[pa.RecordBatch] = []
        self._used = 0
        self._position = 0

    def begin(self, block: FileBlock | None) -> None:
        """Begin a new block. The rows of the previous block must have been flushed.

        Raises:
            ScoringError: each mini-batch must be a whole file, but this block does not begin at the start of its file.
        """
        if self._limit.is_file and block is not None and block.start:
            what = f"Spark split the file '{block.file}', which the model must get as a whole"
            raise file_split(what, f"a part that begins at byte {block.start}")
        self.block = block
        self._first_row = 0 if block is None else block.first_row or 0

    def add(self, piece: pa.RecordBatch) -> Iterator[MiniBatch]:
        """Add rows from the current file block, and yield each mini-batch that becomes full."""
        while piece.num_rows:
            fitting = self._fitting(piece)
            if not fitting and self._pieces:
                yield from self.flush()
                continue
            taken = piece if fitting >= piece.num_rows else piece.slice(0, max(1, fitting))
            self._pieces.append(taken)
            self._used += self._cost(taken)
            piece = piece.slice(taken.num_rows)
            if piece.num_rows or self._used >= self._capacity:
                yield from self.flush()

    def flush(self) -> Iterator[MiniBatch]:
        """Yield the pending rows as one mini-batch, if there are any."""
        if not self._pieces:
            return
        rows = pa.Table.from_batches(self._pieces)
        files = () if self.block is None or self.block.file is None else (self.block.file,)
        position = self._input_position(rows.num_rows)
        first = None if self.block is None or self.block.first_row is None else self._first_row
        yield MiniBatch(f"{self._unit}-{self._position}", files, rows, position, self._limit.is_file, first)
        self._pieces, self._used = [], 0
        self._position += 1
        self._first_row += rows.num_rows

    def _input_position(self, count: int) -> str | None:
        """Return a string that identifies where in the input the pending rows are, or None if this is unknown.

        The string contains the file, the number of the first row in the file, and the number of rows. If Spark reads
        the rows, the string also contains the start and length of the block that Spark read, and the first row is
        counted from the start of the block. The result is None if Spark does not report the block.
        """
        if self.block is not None and self.block.first_row is not None:
            return f"{self.block.file}:{self._first_row}+{count}"
        if self.block is None or self.block.start is None:
            return None
        return f"{self.block.file}#{self.block.start}+{self.block.length}:{self._first_row}+{count}"

    def _cost(self, piece: pa.RecordBatch) -> int:
        """Return the size of a record batch in the unit of the mini-batch limit: bits or rows."""
        return size_in_bits(piece) if self._limit.size_bytes else int(piece.num_rows)

    def _fitting(self, piece: pa.RecordBatch) -> int:
        """Return how many of the record batch's first rows fit into the current mini-batch."""
        room = self._capacity - self._used
        if not self._limit.size_bytes:
            return min(room, int(piece.num_rows))
        return bisect_right(range(1, piece.num_rows + 1), room, key=lambda count: self._cost(piece.slice(0, count)))


@dataclass(frozen=True)
class FileBlock:
    """The block of a file from which rows were read.

    Attributes:
        file: the file, or None if Spark does not report it.
        start, length: the block's start and length in bytes, or None if Spark does not report them.
        first_row: number of the block's first row in the file, or None if Spark read the rows.
    """

    file: str | None
    start: int | None = None
    length: int | None = None
    first_row: int | None = None


def file_split(what: str, got: str) -> ScoringError:
    """Return the error for a file that Spark split although the model needs it as a whole."""
    return ScoringError(
        code=ErrorCode.FILE_SPLIT,
        what=what,
        got=got,
        state="Nothing was published.",
        next_step="Make the file smaller than 1 TB, or give 'settings.mini_batch_size' in bytes.",
    )


def _pieces_of_one_block(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[FileBlock | None, pa.RecordBatch]]:
    """Split record batches into pieces whose rows come from a single file block, and yield each block with its piece.

    The columns that sparkscore adds are removed from the pieces. If a record batch has none of these columns, the block
    is None. Empty record batches are skipped.
    """
    for batch in batches:
        hidden = [name for name in HIDDEN_COLUMNS if name in batch.schema.names]
        if not hidden:
            if batch.num_rows:
                yield None, batch
            continue
        rows = batch.drop_columns(hidden)
        columns = [batch.column(name) for name in hidden]
        if batch.num_rows and all(map(_is_constant, columns)):
            yield FileBlock(*(column[0].as_py() for column in columns)), rows
            continue
        start = 0
        for end in sorted({end for column in columns for end in pc.run_end_encode(column).run_ends.to_pylist()}):
            yield FileBlock(*(column[start].as_py() for column in columns)), rows.slice(start, end - start)
            start = end


def _is_constant(column: pa.Array) -> bool:
    """Return whether all values are equal. Comparing neighbors is much faster than finding runs of equal values."""
    return bool(column.slice(1).equals(column.slice(0, len(column) - 1)))
