"""The rows of an input that workers can read from files themselves, without Spark's reader. Runs on the driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sparkscore.parquet import ParquetReader
from sparkscore.row_units import FileRows


@dataclass(frozen=True)
class PlannedRows:
    """The files of an input, and a reader that gives the same rows as Spark's reader.

    Attributes:
        reader: reads the rows with all columns of the input.
        files: the files, in the order of the input.
    """

    reader: ParquetReader
    files: tuple[FileRows, ...]

    @property
    def rows_of_files(self) -> Mapping[str, int]:
        """The number of rows of each file, by path."""
        return {file.path: sum(file.rows) for file in self.files}
