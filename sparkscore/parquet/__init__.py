"""Read Parquet files with PyArrow, with the values and types that Spark's reader gives. Runs on the workers.

The driver finds out whether this is possible, with the rules that the workers follow.
"""

from __future__ import annotations

from sparkscore.parquet.keys import FolderKeys, KeyValues
from sparkscore.parquet.reader import ColumnRead, FilePart, ParquetReader

__all__ = ["ColumnRead", "FilePart", "FolderKeys", "KeyValues", "ParquetReader"]
