"""Write and read the parts file, which lists the rows of each work unit if the workers read the rows themselves.

Runs on the driver and the workers.

The parts file is a Parquet file in the stage. It has one row group per work unit, so a task reads only its own rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from sparkscore.parquet import FilePart
from sparkscore.parquet.opening import open_parquet
from sparkscore.stage.format import PLAN_METADATA, refuse_other_plan
from sparkscore.stage.unit_groups import write_units

PARTS_SCHEMA: Final = pa.schema(
    [("unit", pa.int64()), ("path", pa.string()), ("first_row", pa.int64()), ("row_count", pa.int64())],
    metadata=PLAN_METADATA,
)


def write_parts(path: str, rows: pa.Table) -> None:
    """Write the parts file, with one row group per work unit. Runs on the driver.

    Args:
        path: path of the parts file.
        rows: one row per part, with the columns of `PARTS_SCHEMA`, ordered by work unit.
    """
    write_units(path, rows, PARTS_SCHEMA)


def read_parts(parts_file: str, rows_of_files: Mapping[str, int]) -> dict[int, int] | None:
    """Return the number of rows of each work unit in a parts file, keyed by unit number. Runs on the driver.

    Return None if the parts file cannot be read, if its work units are not in the order 0, 1, 2 and so on with one row
    group each, or if its parts do not contain each row of the input exactly once.

    Args:
        parts_file: path of the parts file.
        rows_of_files: the number of rows of each file of the input. Files without rows may be missing.

    Raises:
        LineageError: another version of sparkscore wrote the parts file in a different format.
    """
    try:
        plan = open_parquet(parts_file, page_checksum_verification=True)
        refuse_other_plan(plan.schema_arrow.metadata, Path(parts_file))
        if not plan.schema_arrow.equals(PARTS_SCHEMA):
            return None
        units = [plan.read_row_group(group).to_pylist() for group in range(plan.num_row_groups)]
    except (OSError, pa.ArrowException):
        return None
    is_in_order = all({row["unit"] for row in rows} == {unit} for unit, rows in enumerate(units))
    if not is_in_order or not _are_complete([row for rows in units for row in rows], rows_of_files):
        return None
    return {unit: sum(row["row_count"] for row in rows) for unit, rows in enumerate(units)}


def _are_complete(parts: Iterable[Mapping[str, object]], rows_of_files: Mapping[str, int]) -> bool:
    ends: dict[object, object] = {}
    for part in sorted(parts, key=lambda part: (str(part["path"]), int(str(part["first_row"])))):
        if part["first_row"] != ends.get(part["path"], 0) or int(str(part["row_count"])) < 1:
            return False
        ends[part["path"]] = int(str(part["first_row"])) + int(str(part["row_count"]))
    return ends == {path: rows for path, rows in rows_of_files.items() if rows}


def read_planned_parts(parts_file: str, units: Iterable[int]) -> Iterator[FilePart]:
    """Yield the parts of the given work units, one work unit after another. Runs on the workers.

    Args:
        parts_file: path of the parts file. It is not opened if there are no work units.
        units: numbers of the work units, in reading order.
    """
    plan: pq.ParquetFile | None = None
    for unit in units:
        plan = plan or open_parquet(parts_file, page_checksum_verification=True)
        for row in plan.read_row_group(unit).to_pylist():
            yield FilePart(row["path"], row["first_row"], row["row_count"])
