"""Describe mini-batches and their size, and split the rows of a Spark task into mini-batches (driver and worker)."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ScoringError

#: A column that the driver adds to rows: the file that each row comes from. The user's code never gets this column.
SOURCE_FILE_COLUMN = "__sparkscore_source_file"
#: Columns that the driver adds for the block of the file that a row was read from: start and length of the block in
#: bytes.
BLOCK_COLUMNS = ("__sparkscore_block_start", "__sparkscore_block_length")
#: All columns that the driver adds to rows.
HIDDEN_COLUMNS = (SOURCE_FILE_COLUMN, *BLOCK_COLUMNS)


@dataclass(frozen=True)
class MiniBatchLimit:
    """The maximum size of a mini-batch, in items or in bytes. If neither is set, each mini-batch is one whole file.

    Attributes:
        items: maximum number of files or rows.
        size_bytes: maximum number of bytes of the rows in Arrow's memory format. A mini-batch with a single row may
            exceed it.
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
        mini_batch_id: name of the mini-batch in its run. A part of a mini-batch has the name of the whole mini-batch.
        files: the files that are the items, or from which the rows come, in order. Empty if it is not known from which
            file the rows come.
        rows: the rows without the columns that sparkscore adds, or None if the items are files.
        input_position: string that identifies the items in the input, or None if their position is not known. A part of
            a mini-batch has the string of the whole mini-batch.
        is_indivisible: whether all rows must be in one call, because the model may return different values if it gets
            only a part of them.
    """

    mini_batch_id: str
    files: tuple[str, ...]
    rows: pa.Table | None = None
    input_position: str | None = None
    is_indivisible: bool = False

    @property
    def item_count(self) -> int:
        """The number of items, which are files or rows."""
        return len(self.files) if self.rows is None else self.rows.num_rows

    def halves(self) -> tuple[MiniBatch, MiniBatch]:
        """Return two mini-batches with the same name: the first half of the items, and the second half.

        If the number of items is odd, the second half has one item more than the first half.
        """
        middle = self.item_count // 2
        if self.rows is None:
            return replace(self, files=self.files[:middle]), replace(self, files=self.files[middle:])
        return replace(self, rows=self.rows.slice(0, middle)), replace(self, rows=self.rows.slice(middle))

    def only(self, positions: Sequence[int]) -> MiniBatch:
        """Return a mini-batch with the same name that contains the items at these positions, in the given order."""
        if self.rows is None:
            return replace(self, files=tuple(self.files[position] for position in positions))
        return replace(self, rows=self.rows.take(pa.array(positions, pa.int64())))

    def without(self, positions: Collection[int]) -> MiniBatch:
        """Return a mini-batch with the same name that contains all items except those at these positions."""
        return self.only([position for position in range(self.item_count) if position not in positions])


def split_into_mini_batches(batches: Iterable[pa.RecordBatch], limit: MiniBatchLimit, unit: int) -> Iterator[MiniBatch]:
    """Yield the rows of record batches as mini-batches, in the order of the rows.

    A mini-batch ends when the limit leaves no room for the next row, when the next row comes from a different file or
    from a different block of the file, or when there are no more rows. Record batches are read only as they are needed.

    Args:
        batches: record batches, which are iterated once. Some or all of them may be empty.
        limit: maximum size of one mini-batch.
        unit: number of the work unit. Mini-batches are named ``<unit>-<number>``, with numbers from 0.

    Raises:
        ScoringError: each mini-batch must be a whole file, but a block of rows does not begin at the start of its file,
            because Spark split the file.
    """
    pending = _Pending(limit, unit)
    for block, piece in _pieces_of_one_block(batches):
        if block != pending.block:
            yield from pending.flush()
            pending.begin(block)
        yield from pending.add(piece)
    yield from pending.flush()


class _Pending:
    """Rows that have been read, but do not fill a mini-batch yet, with the block of the file from which they come."""

    def __init__(self, limit: MiniBatchLimit, unit: int) -> None:
        self.block: _Block | None = None
        self._first_row = 0
        self._limit = limit
        self._capacity = sys.maxsize if limit.is_file else limit.items or limit.size_bytes or 1
        self._unit = unit
        self._pieces: list[pa.RecordBatch] = []
        self._used = 0
        self._position = 0

    def begin(self, block: _Block | None) -> None:
        """Begin the next block. All rows of the previous block must have been yielded.

        Raises:
            ScoringError: each mini-batch must be a whole file, but this block does not begin at the start of its file.
        """
        if self._limit.is_file and block is not None and block.start:
            what = f"Spark split the file '{block.file}', which the model must get as a whole"
            raise file_split(what, f"a part that begins at byte {block.start}")
        self.block = block
        self._first_row = 0

    def add(self, piece: pa.RecordBatch) -> Iterator[MiniBatch]:
        """Add rows of the current block, and yield each mini-batch that becomes full."""
        while piece.num_rows:
            fitting = self._fitting(piece)
            if not fitting and self._pieces:
                yield from self.flush()
                continue
            taken = piece.slice(0, max(1, fitting))
            self._pieces.append(taken)
            self._used += self._cost(taken)
            piece = piece.slice(taken.num_rows)
            if piece.num_rows or self._used >= self._capacity:
                yield from self.flush()

    def flush(self) -> Iterator[MiniBatch]:
        """Yield all pending rows as one mini-batch, if there are any."""
        if not self._pieces:
            return
        rows = pa.Table.from_batches(self._pieces)
        files = () if self.block is None or self.block.file is None else (self.block.file,)
        position = self._input_position(rows.num_rows)
        yield MiniBatch(f"{self._unit}-{self._position}", files, rows, position, self._limit.is_file)
        self._pieces, self._used = [], 0
        self._position += 1
        self._first_row += rows.num_rows

    def _input_position(self, count: int) -> str | None:
        """Return a string that identifies the pending rows in the input, or None if Spark does not report their block.

        The string consists of the file, the block, the number of the first row in the block, and the number of rows.
        """
        if self.block is None or self.block.start is None:
            return None
        return f"{self.block.file}#{self.block.start}+{self.block.length}:{self._first_row}+{count}"

    def _cost(self, piece: pa.RecordBatch) -> int:
        """Return how much of the mini-batch's limit these rows use: their size in bytes, or their number."""
        return int(piece.nbytes if self._limit.size_bytes else piece.num_rows)

    def _fitting(self, piece: pa.RecordBatch) -> int:
        """Return how many rows from the start of this record batch still fit into the current mini-batch."""
        room = self._capacity - self._used
        return bisect_right(range(1, piece.num_rows + 1), room, key=lambda count: self._cost(piece.slice(0, count)))


@dataclass(frozen=True)
class _Block:
    """The part of a file from which rows come: the file, and the start and length of the part in bytes.

    A value that Spark does not report is None.
    """

    file: str | None
    start: int | None = None
    length: int | None = None


def file_split(what: str, got: str) -> ScoringError:
    """Return the error for a file that Spark read in several parts although the model needs the whole file."""
    return ScoringError(
        code=ErrorCode.FILE_SPLIT,
        what=what,
        got=got,
        state="Nothing was published.",
        next_step="Make the file smaller than 1 TB, or give 'settings.mini_batch_size' in bytes.",
    )


def _pieces_of_one_block(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[_Block | None, pa.RecordBatch]]:
    """Divide record batches into pieces whose rows come from one block of a file, and yield each block with its piece.

    The pieces do not have the columns that sparkscore adds. The block is None if the record batch has none of these
    columns. An empty record batch yields nothing.
    """
    for batch in batches:
        hidden = [name for name in HIDDEN_COLUMNS if name in batch.schema.names]
        if not hidden:
            if batch.num_rows:
                yield None, batch
            continue
        rows = batch.drop_columns(hidden)
        columns = [batch.column(name) for name in hidden]
        start = 0
        for end in sorted({end for column in columns for end in pc.run_end_encode(column).run_ends.to_pylist()}):
            yield _Block(*(column[start].as_py() for column in columns)), rows.slice(start, end - start)
            start = end
