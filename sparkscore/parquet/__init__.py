"""Read Parquet files with PyArrow so that values and types equal those of Spark's reader. Runs on the workers.

The driver decides beforehand whether this is possible for an input. It applies the same rules as the workers.
"""

from __future__ import annotations

from sparkscore.parquet.keys import FileKeys, FolderKeys, KeyValues
from sparkscore.parquet.reader import ColumnRead, FilePart, ParquetReader

__all__ = ["ColumnRead", "FileKeys", "FilePart", "FolderKeys", "KeyValues", "ParquetReader"]
