from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyspark.sql.types import LongType, StructField, StructType

from sparkscore.parquet import ColumnRead, ParquetReader
from sparkscore.run.opened import InputRows, Request
from sparkscore.sources.planned_rows import PlannedRows

NOTHING: Any = None
COLUMNS = StructType([StructField("id", LongType())])
PLANNED = PlannedRows(ParquetReader((ColumnRead("id", pa.int64()),)), ())


def test_a_request_knows_the_columns_of_rows_and_who_reads_them() -> None:
    def request(rows: InputRows | None) -> Request:
        return Request(NOTHING, NOTHING, NOTHING, rows, None)

    files, by_spark = request(None), request(InputRows(COLUMNS, lambda: None))
    by_workers = request(InputRows(COLUMNS, lambda: None, PLANNED))

    assert (files.columns, files.planned) == (None, None)
    assert (by_spark.columns, by_spark.planned) == (COLUMNS, None)
    assert (by_workers.columns, by_workers.planned) == (COLUMNS, PLANNED)
