"""What the footers of Parquet files tell without reading a row (driver)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from sparkscore.sources.reading import read_each


def count_nulls(paths: Sequence[str], columns: Collection[str], rows: int | None = None) -> dict[str, int]:
    """Count the NULLs of columns in files together, as far as the statistics in their footers tell.

    Args:
        paths: the files.
        columns: names of columns that are no part of another one.
        rows: rows that are read of the files, where some of them may be deleted; None where all are read.

    Returns:
        the count by column. A column is left out where a file does not have it, or has no statistics of it, and no
        NULL is known all the same; or where its NULLs may be among the rows that are deleted.
    """
    # Between names of columns and paths of their parts, a dot cannot be told from a dot.
    plain = frozenset(name for name in columns if "." not in name)
    if not plain or not paths:
        return {}
    files = read_each(lambda path: _read(path, plain), paths)
    are_all_read = rows is None or rows == sum(file.rows for file in files)
    counts = {name: [file.nulls.get(name) if file.rows else 0 for file in files] for name in plain}
    totals = {name: (sum(found or 0 for found in each), None not in each) for name, each in counts.items()}
    return {
        name: total
        for name, (total, is_exact) in totals.items()
        if (total and are_all_read) or (not total and is_exact)
    }


@dataclass(frozen=True)
class _Footer:
    """What a file's footer tells.

    Attributes:
        rows: its rows.
        nulls: NULLs by column, where each row group tells their number.
    """

    rows: int
    nulls: dict[str, int]


def _read(path: str, columns: Collection[str]) -> _Footer:
    try:
        footer = pq.read_metadata(path)
    except (OSError, pa.ArrowException):  # Spark says what is wrong with it
        return _Footer(-1, {})
    places = {footer.schema.column(index).path: index for index in range(footer.num_columns)}
    found = {name: _nulls_in(footer, places[name]) for name in columns if name in places}
    return _Footer(footer.num_rows, {name: nulls for name, nulls in found.items() if nulls is not None})


def _nulls_in(footer: pq.FileMetaData, index: int) -> int | None:
    total = 0
    for group in range(footer.num_row_groups):
        statistics = footer.row_group(group).column(index).statistics
        if statistics is None or not statistics.has_null_count:
            return None
        total += statistics.null_count
    return total
