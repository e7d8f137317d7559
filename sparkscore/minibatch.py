"""Cut the rows of one Spark task into mini-batches (worker)."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ScoringError

#: Added by the driver to every row that was read from a file; never handed to the user's code.
SOURCE_FILE_COLUMN = "__sparkscore_source_file"
#: The block of its file that a row was read from: where it begins, and its length, in bytes.
BLOCK_COLUMNS = ("__sparkscore_block_start", "__sparkscore_block_length")
#: All columns that the driver adds to rows.
HIDDEN_COLUMNS = (SOURCE_FILE_COLUMN, *BLOCK_COLUMNS)


@dataclass(frozen=True)
class MiniBatchLimit:
    """How much one mini-batch may hold: items, or bytes of Arrow memory; one of the two is set, or it holds a file."""

    items: int | None = None
    size_bytes: int | None = None

    @property
    def is_file(self) -> bool:
        """Whether a mini-batch holds all rows of one file."""
        return self.items is None and self.size_bytes is None


@dataclass(frozen=True)
class MiniBatch:
    """What one call of ``run()`` receives: file paths, or rows.

    Attributes:
        mini_batch_id: stable name of the mini-batch within its run.
        files: the files that the items are, or come from, in order; empty when the rows come from no file.
        rows: the rows, without sparkscore's own columns; None when the items are the files themselves.
        place: says which items of the input these are, the same whoever reads them; None where that is not known.
        is_indivisible: whether the model gets all rows in one call or none, because parts may give other values.
    """

    mini_batch_id: str
    files: tuple[str, ...]
    rows: pa.Table | None = None
    place: str | None = None
    is_indivisible: bool = False

    @property
    def item_count(self) -> int:
        """Number of items: files, or rows."""
        return len(self.files) if self.rows is None else self.rows.num_rows

    def halves(self) -> tuple[MiniBatch, MiniBatch]:
        """Give the first and the second half of the items, under the same name."""
        middle = self.item_count // 2
        if self.rows is None:
            return replace(self, files=self.files[:middle]), replace(self, files=self.files[middle:])
        return replace(self, rows=self.rows.slice(0, middle)), replace(self, rows=self.rows.slice(middle))

    def only(self, positions: Sequence[int]) -> MiniBatch:
        """Give the items at some positions, under the same name."""
        if self.rows is None:
            return replace(self, files=tuple(self.files[position] for position in positions))
        return replace(self, rows=self.rows.take(pa.array(positions, pa.int64())))

    def without(self, positions: Collection[int]) -> MiniBatch:
        """Give the mini-batch without the items at some positions."""
        return self.only([position for position in range(self.item_count) if position not in positions])


def split_into_mini_batches(batches: Iterable[pa.RecordBatch], limit: MiniBatchLimit, unit: int) -> Iterator[MiniBatch]:
    """Cut record batches into mini-batches, keeping the order of the rows.

    Runs on the worker. A mini-batch never crosses a file, nor a block of one that Spark split. With a limit in items,
    all mini-batches of a block but its last hold exactly that many rows, however Spark cut its record batches; with a
    limit in bytes only a single row can exceed it. At most one mini-batch is held in memory.

    Args:
        batches: consumed once; may be empty, and may hold empty record batches.
        limit: the size of one mini-batch.
        unit: number of the work unit; the mini-batches are named ``<unit>-<position>``.

    Raises:
        ScoringError: mini-batches are to be whole files, and Spark split one.
    """
    pending = _Pending(limit, unit)
    for block, piece in _pieces_of_one_block(batches):
        if block != pending.block:
            yield from pending.flush()
            pending.begin(block)
        yield from pending.add(piece)
    yield from pending.flush()


class _Pending:
    """The rows that wait until a mini-batch is full."""

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
        if self._limit.is_file and block is not None and block.start:
            what = f"Spark split the file '{block.file}', which the model must get as a whole"
            raise file_split(what, f"a part that begins at byte {block.start}")
        self.block = block
        self._first_row = 0

    def add(self, piece: pa.RecordBatch) -> Iterator[MiniBatch]:
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
        if not self._pieces:
            return
        rows = pa.Table.from_batches(self._pieces)
        files = () if self.block is None or self.block.file is None else (self.block.file,)
        yield MiniBatch(f"{self._unit}-{self._position}", files, rows, self._place(rows.num_rows), self._limit.is_file)
        self._pieces, self._used = [], 0
        self._position += 1
        self._first_row += rows.num_rows

    def _place(self, count: int) -> str | None:
        if self.block is None or self.block.start is None:
            return None
        return f"{self.block.file}#{self.block.start}+{self.block.length}:{self._first_row}+{count}"

    def _cost(self, piece: pa.RecordBatch) -> int:
        return int(piece.nbytes if self._limit.size_bytes else piece.num_rows)

    def _fitting(self, piece: pa.RecordBatch) -> int:
        """Count the first rows for which there is room."""
        room = self._capacity - self._used
        return bisect_right(range(1, piece.num_rows + 1), room, key=lambda count: self._cost(piece.slice(0, count)))


@dataclass(frozen=True)
class _Block:
    """The part of a file that rows come from; where it begins is not known of every source."""

    file: str | None
    start: int | None = None
    length: int | None = None


def file_split(what: str, got: str) -> ScoringError:
    """Make the error for a file that did not come as a whole; a driver makes it again of what a task said."""
    return ScoringError(
        code=ErrorCode.FILE_SPLIT,
        what=what,
        got=got,
        state="Nothing was published.",
        next_step="Make the file smaller than 1 TB, or give 'settings.mini_batch_size' in bytes.",
    )


def _pieces_of_one_block(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[_Block | None, pa.RecordBatch]]:
    for batch in map(_in_utc, batches):
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


def _in_utc(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Give moments in UTC: Spark gives them in the session's zone, and what is scored depends on no setting."""
    schema = pa.schema([field.with_type(_type_in_utc(field.type)) for field in batch.schema])
    return batch if schema.equals(batch.schema) else batch.cast(schema)


def _type_in_utc(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return kind if kind.tz is None else pa.timestamp(kind.unit, "UTC")
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_type_in_utc(kind.value_type)))
    if pa.types.is_map(kind):
        return pa.map_(_type_in_utc(kind.key_type), kind.item_field.with_type(_type_in_utc(kind.item_type)))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_type_in_utc(field.type)) for field in kind])
    return kind
