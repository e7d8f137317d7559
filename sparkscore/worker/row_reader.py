"""Read mini-batches of rows from files on a worker, without Spark's reader. Runs on the workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa

from sparkscore.location import plain_path, uri_of
from sparkscore.minibatch import FileBlock, MiniBatch, MiniBatchLimit, cut_into_mini_batches
from sparkscore.parquet import FilePart, ParquetReader
from sparkscore.worker.host import HostCheck, refuse_hidden_file


@dataclass(frozen=True)
class RowReader:
    """Reads the rows of work units from files, as mini-batches. It is pickled and sent to the workers.

    Attributes:
        reader: reads the rows with all columns of the input.
        columns: names of the columns that the scorer and the result need, or None if they need all.
    """

    reader: ParquetReader
    columns: tuple[str, ...] | None = None

    def read(
        self, parts: Iterable[FilePart], limit: MiniBatchLimit, unit: int, host: HostCheck | None
    ) -> Iterator[MiniBatch]:
        """Yield the mini-batches of a work unit. Rows are read as they are needed.

        Args:
            parts: the parts of files in the work unit.
            limit: maximum size of a mini-batch.
            unit: number of the work unit.
            host: the conditions that the worker must meet, or None if the workers are on the driver's host.

        Raises:
            SourceError: a file cannot be read, or was changed, or this worker has no access to it.
        """
        return cut_into_mini_batches(self._pieces(parts, limit, host), limit, unit)

    def with_all_columns(self, mini_batch: MiniBatch) -> MiniBatch:
        """Return the mini-batch with all columns of the input. Its rows are read again if columns were left out."""
        if self.columns is None or mini_batch.first_row is None:
            return mini_batch
        part = FilePart(plain_path(mini_batch.files[0]), mini_batch.first_row, mini_batch.item_count)
        rows = pa.Table.from_batches(self.reader.read(part), schema=self.reader.schema())
        return replace(mini_batch, rows=rows)

    def _pieces(
        self, parts: Iterable[FilePart], limit: MiniBatchLimit, host: HostCheck | None
    ) -> Iterator[tuple[FileBlock, pa.RecordBatch]]:
        reader = self.reader if self.columns is None else self.reader.only(self.columns)
        for part in parts:
            # Mini-batches name their files as Spark does, which writes the path of an object as a URI.
            block = FileBlock(uri_of(part.path), first_row=part.first_row)
            if self.reader.store is None:
                refuse_hidden_file(part.path, host)
            for rows in reader.read(part, limit.items):
                yield block, rows
                del rows  # before the next ones are read
