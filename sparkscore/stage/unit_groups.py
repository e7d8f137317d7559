"""Write a Parquet file with one row group for each work unit, so that a task reads only its own rows.

Runs on the driver.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sparkscore.stage.store import writing
from sparkscore.stage.surroundings import open_store


def write_units(path: str, rows: pa.Table, schema: pa.Schema) -> None:
    """Write rows to a Parquet file of a store, with one row group for each work unit.

    Args:
        path: path of the file.
        rows: the rows, ordered by the column ``unit``.
        schema: the columns of the file, with its metadata.
    """
    target = Path(path)
    with (
        writing(open_store(target.parent), target.name) as file,
        pq.ParquetWriter(file, schema, write_page_checksum=True) as writer,
    ):
        first = 0
        for _, own in groupby(rows.column("unit").to_pylist()):
            count = sum(1 for _ in own)
            writer.write_table(rows.slice(first, count), row_group_size=count)
            first += count
