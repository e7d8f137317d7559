"""Build the table ``attempts.parquet`` from the workers' reports: one row per call of the model or script.

Runs on the driver.

The calls of the probe, which finds the result's columns before scoring, are not included. The columns are the same for
all runs, so that the calls of several runs can be queried together with SQL.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from sparkscore.stage import MiniBatchReport
from sparkscore.stage.report import CALL_SCHEMA, batches_of, values_of

#: Columns of ``attempts.parquet``.
ATTEMPTS_SCHEMA = pa.schema(
    [
        ("run_id", pa.string()),
        ("mini_batch", pa.string()),
        ("attempt", pa.int64()),
        *CALL_SCHEMA,
        ("worker", pa.string()),
        ("scored_at", pa.timestamp("us", "UTC")),
    ]
)


def attempts_of(run_id: str, reports: Iterable[MiniBatchReport]) -> pa.Table:
    """Return a run's rows of ``attempts.parquet``: one for each call in the reports.

    The ``attempt`` column numbers the calls of each mini-batch from 1.

    Args:
        run_id: id of the run.
        reports: the reports of the run's mini-batches.
    """
    rows = (
        {
            "run_id": run_id,
            "mini_batch": report.mini_batch,
            "attempt": number,
            **values_of(call),
            "worker": report.worker,
            "scored_at": report.scored_at,
        }
        for report in reports
        for number, call in enumerate(report.attempts, 1)
    )
    return pa.Table.from_batches(batches_of(rows, ATTEMPTS_SCHEMA), schema=ATTEMPTS_SCHEMA)
