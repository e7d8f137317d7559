"""Compare the rows that the workers read themselves with those of Spark's reader."""

from __future__ import annotations

import pyarrow as pa

from sparkscore.minibatch import HIDDEN_COLUMNS
from sparkscore.parquet import FilePart
from sparkscore.sources import PlannedRows, Source
from sparkscore.worker.intake import settle_types


def read_by_spark(source: Source) -> pa.Table:
    """Return the rows as a worker gets them from Spark."""
    frame = source.frame()
    assert frame is not None
    table = frame.drop(*HIDDEN_COLUMNS).toArrow().combine_chunks()
    return pa.Table.from_batches([settle_types(batch) for batch in table.to_batches()])


def read_by_workers(planned: PlannedRows) -> pa.Table:
    """Return the rows as the workers read them."""
    parts = [FilePart(path, 0, rows) for path, rows in planned.rows_of_files.items() if rows]
    batches = [batch for part in parts for batch in planned.reader.read(part)]
    return pa.Table.from_batches(batches, planned.reader.schema())


def check_same_rows(source: Source, reason: str = "") -> pa.Table | None:
    """Check that both readers give the same rows, and return them.

    Return None if Spark must read for a reason that contains a text.
    """
    planned = source.planned_rows()
    if isinstance(planned, str) and reason and reason in planned:
        return None
    assert isinstance(planned, PlannedRows), planned

    expected, found = read_by_spark(source), read_by_workers(planned)

    assert found.schema.equals(expected.schema, check_metadata=True)
    assert found.num_rows == source.snapshot.items
    by_spark, by_workers = texts_of(expected), texts_of(found)
    for name, values in by_spark.items():
        assert by_workers[name] == values, name
    return found


def texts_of(table: pa.Table) -> dict[str, list[str]]:
    """Return the rows, ordered by id, in a form in which NaN equals itself, and 0.0 does not equal -0.0."""
    return {name: [repr(value) for value in table.sort_by("id")[name].to_pylist()] for name in table.schema.names}
