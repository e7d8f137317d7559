"""Read an object in a store with few requests. Runs on the workers."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

#: How much of a column is read at a time if only its first rows are needed.
STREAM_BYTES: Final = 256 * 1024
#: The first byte of a range, and the byte after its last one.
ByteRange = tuple[int, int]

# A store answers a request after the time in which it sends about this much. So a smaller object is read as a whole,
# and bytes between two ranges that are not needed are read if they are fewer.
_SMALL_BYTES: Final = 1024 * 1024
_GAP_BYTES: Final = 512 * 1024
# Ranges are not joined to larger ones, because a store sends several at the same time.
_MOST_BYTES: Final = 16 * 1024 * 1024
_THREADS: Final = 8
# PyArrow reads this much more of columns in files of an old writer (apache/parquet-java, PARQUET-816).
_PADDING_BYTES: Final = 100


class FetchedObject:
    """An object in a store, as a file for PyArrow. It holds the bytes that were fetched last.

    Other bytes are fetched when they are read, with a request for each read.
    """

    def __init__(self, source: pa.NativeFile) -> None:
        """Fetch the object as a whole if it is small.

        Args:
            source: the open object.
        """
        self._source = source
        self._size: int = source.size()
        self._position = 0
        self._held: list[tuple[int, pa.Buffer]] = []
        self._is_whole = self._size <= _SMALL_BYTES
        if self._is_whole:
            self._held = [self._fetch((0, self._size))]

    def fetch(self, ranges: Iterable[ByteRange]) -> None:
        """Fetch some ranges, several at the same time, and let go of those that were fetched before."""
        if self._is_whole:
            return
        self._held = []
        wanted = join_ranges(ranges, self._size)
        if len(wanted) < 2:  # noqa: PLR2004 - one range needs no thread
            self._held = [self._fetch(each) for each in wanted]
            return
        with ThreadPoolExecutor(min(_THREADS, len(wanted))) as pool:
            self._held = list(pool.map(self._fetch, wanted))

    def read_buffer(self, count: int = -1) -> pa.Buffer:
        """Return the next bytes. PyArrow calls this instead of `read`, because the bytes are not copied."""
        start = self._position
        self._position = end = self._size if count < 0 else min(self._size, start + count)
        for first, held in self._held:
            if first <= start and end <= first + held.size:
                return held.slice(start - first, end - start)
        return self._fetch((start, end))[1]

    def read(self, count: int = -1) -> bytes:
        """Return the next bytes."""
        return bytes(self.read_buffer(count))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set and return the position at which the next bytes are read."""
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        """Return the position at which the next bytes are read."""
        return self._position

    @property
    def closed(self) -> bool:
        """Whether the object is closed."""
        return bool(self._source.closed)

    def close(self) -> None:
        """Let go of the bytes and of the object."""
        self._held = []
        self._source.close()

    def _fetch(self, wanted: ByteRange) -> tuple[int, pa.Buffer]:
        # NOTE: if the object was replaced by a shorter one, PyArrow 25 returns any bytes in place of those that are not
        # there. The run fails at its end, when the states of the objects are compared.
        start, end = wanted
        return start, pa.py_buffer(self._source.read_at(end - start, start))


def join_ranges(ranges: Iterable[ByteRange], size: int) -> list[ByteRange]:
    """Return few ranges, of which each of the given ones is a part. Ranges that are close together become one.

    Args:
        ranges: the ranges.
        size: number of bytes of the object.
    """
    joined: list[ByteRange] = []
    for start, last in sorted(ranges):
        end = min(last, size)
        if start >= end:  # the footer is damaged, which PyArrow reports
            continue
        if joined and start - joined[-1][1] <= _GAP_BYTES and end - joined[-1][0] <= _MOST_BYTES:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def ranges_of(group: pq.RowGroupMetaData, columns: Collection[str], share: float = 1) -> list[ByteRange]:
    """Return where the columns of a row group are.

    Args:
        group: the row group.
        columns: names of columns, without those inside of structs, lists and maps.
        share: how much of the rows is needed, from the first one. With less than 1, the ranges are an estimate.
    """
    roots = tuple(f"{name}." for name in columns)
    chunks = (group.column(index) for index in range(group.num_columns))
    return [
        _range_of(chunk, share)
        for chunk in chunks
        if chunk.path_in_schema in columns or chunk.path_in_schema.startswith(roots)
    ]


def _range_of(chunk: pq.ColumnChunkMetaData, share: float) -> ByteRange:
    start = min(chunk.data_page_offset, chunk.dictionary_page_offset or chunk.data_page_offset)
    end = start + chunk.total_compressed_size + _PADDING_BYTES
    if share < 1:
        rows = max(0, end - chunk.data_page_offset)
        end = min(end, chunk.data_page_offset + int(rows * share) + STREAM_BYTES)
    return start, end
