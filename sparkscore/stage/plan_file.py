"""Write and read the plan file, which lists the files of each mini-batch and work unit.

Runs on the driver and the workers.

The plan is a Parquet file in the stage. It has one row group per work unit, so a task reads only its own rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sparkscore.minibatch import MiniBatch
from sparkscore.parquet.opening import open_parquet
from sparkscore.stage.format import PLAN_METADATA, refuse_other_plan
from sparkscore.stage.unit_groups import write_units

PLAN_SCHEMA = pa.schema(
    [("unit", pa.int64()), ("mini_batch", pa.string()), ("path", pa.string())],
    metadata=PLAN_METADATA,
)


def write_plan(path: str, rows: pa.Table) -> None:
    """Write the plan file, with one row group per work unit. Runs on the driver.

    Args:
        path: path of the plan file.
        rows: one row per input file, with the columns of `PLAN_SCHEMA`, ordered by work unit.
    """
    write_units(path, rows, PLAN_SCHEMA)


def is_plan_of(plan_file: str, rows: pa.Table) -> bool:
    """Return whether a plan file contains the same input files in the same mini-batches as the current plan.

    Runs on the driver.

    The work units may differ, because they depend on the number of task slots. Return False if the plan file cannot be
    read, has different columns, or does not have exactly one row group per work unit, in the order 0, 1, 2 and so on.

    Args:
        plan_file: path of the plan file.
        rows: the current plan: one row per input file, with the columns of `PLAN_SCHEMA`.

    Raises:
        LineageError: another version of sparkscore wrote the plan file in a different format.
    """
    try:
        plan = open_parquet(plan_file, page_checksum_verification=True)
        refuse_other_plan(plan.schema_arrow.metadata, Path(plan_file))
        units = [plan.read_row_group(group, columns=["unit"]).column("unit") for group in range(plan.num_row_groups)]
        kept = plan.read()
    except (OSError, pa.ArrowException):
        return False
    is_in_order = all(set(found.to_pylist()) == {group} for group, found in enumerate(units))
    return is_in_order and kept.schema.equals(PLAN_SCHEMA) and _by_mini_batch(kept) == _by_mini_batch(rows)


def _by_mini_batch(plan: pa.Table) -> list[tuple[str, list[str]]]:
    """Return the names of a plan's mini-batches, sorted, each with its file paths in order."""
    groups = groupby(plan.to_pylist(), key=lambda row: (row["unit"], row["mini_batch"]))
    return sorted((mini_batch, [row["path"] for row in rows]) for (_, mini_batch), rows in groups)


def count_files(plan_file: str) -> dict[int, int]:
    """Return the number of files in each work unit of a plan file, keyed by unit number. Runs on the driver."""
    rows = pq.read_table(plan_file, columns=["unit", "path"])
    counts = rows.group_by("unit").aggregate([("path", "count")]).to_pylist()
    return {row["unit"]: row["path_count"] for row in counts}


def read_planned_mini_batches(plan_file: str, units: Iterable[int]) -> Iterator[MiniBatch]:
    """Yield a plan file's mini-batches for the given work units. Runs on the workers.

    The work units are read one after another. Within a work unit, mini-batches are yielded in plan order.

    Args:
        plan_file: path of the plan file. It is not opened if there are no work units.
        units: numbers of the work units, in reading order.
    """
    plan: pq.ParquetFile | None = None
    for unit in units:
        plan = plan or open_parquet(plan_file, page_checksum_verification=True)
        rows = plan.read_row_group(unit, columns=["mini_batch", "path"], use_threads=False)
        pairs = zip(*(column.to_pylist() for column in rows.columns), strict=True)
        for mini_batch, files in groupby(pairs, key=itemgetter(0)):
            yield MiniBatch(mini_batch, tuple(path for _, path in files), input_position=mini_batch)
