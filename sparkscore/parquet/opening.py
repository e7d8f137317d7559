"""Open Parquet files so that their rows are read little by little. Runs on the driver and the workers."""

from __future__ import annotations

from typing import Any, Final

import pyarrow.parquet as pq

#: With a buffer of this size, PyArrow need not keep whole columns of a row group while it reads them.
BUFFER_BYTES: Final = 256 * 1024


def open_parquet(source: Any, **options: Any) -> pq.ParquetFile:
    """Open a Parquet file whose row groups are read one after another, each when its rows are needed.

    No other module calls `pyarrow.parquet.ParquetFile`. By default, its ``iter_batches`` fetches the columns of all row
    groups before it returns the first rows, and keeps them until the last ones have been read. So it would need as much
    memory as the file is large.

    Args:
        source: the path of the file, or an open file.
        options: other arguments of `pyarrow.parquet.ParquetFile`.

    Raises:
        OSError: the file cannot be read.
        ArrowException: it is no Parquet file.
    """
    return pq.ParquetFile(source, pre_buffer=False, **options)
