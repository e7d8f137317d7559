"""Check a run: each input item is in the predictions or the quarantine, once, and the record agrees."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
from deltalake import DeltaTable


def read_table(place: Path) -> pa.Table:
    """Return the rows of a result, read with another library than Spark."""
    if (place / "_delta_log").is_dir():
        return DeltaTable(place).to_pyarrow_table()
    partitioning = pyarrow.dataset.partitioning(pa.schema([("run_id", pa.string())]), flavor="hive")
    return pyarrow.dataset.dataset(place, partitioning=partitioning).to_table()


def check_ledger(record: Mapping[str, Any], runs: Path, keys: Iterable[object], key: str | None = "id") -> None:
    """Check a complete run against the items that the test put into its input.

    Args:
        record: the record of the run.
        runs: the folder of the runs.
        keys: the keys of the input's items, each once: values of the key column, or paths of files.
        key: the name of the key column, or None if the items are files.
    """
    run_id, output, quarantine = record["run_id"], record["output"], record["quarantine"]
    predictions = _of_run(read_table(Path(output["location"])), run_id)
    failed = [] if quarantine["location"] is None else _of_run(read_table(Path(quarantine["location"])), run_id)
    scored_keys = [row[key or "source_file"] for row in predictions]
    failed_keys = [json.loads(row["row"])[key] if key else row["source_file"] for row in failed]

    assert record["state"] == "COMPLETE"
    assert sorted(scored_keys + failed_keys, key=str) == sorted(keys, key=str), "lost, doubled or invented"
    counts = record["counts"]
    assert (counts["scored"], counts["failed"], counts["skipped"]) == (len(scored_keys), len(failed_keys), 0)
    assert counts["items"] == counts["scored"] + counts["failed"]
    assert (output["rows"], quarantine["rows"]) == (len(predictions), len(failed))
    attempts = pq.read_table(runs / run_id / "attempts.parquet").to_pylist()
    assert sum(attempt["scored"] for attempt in attempts) == counts["scored"]
    assert len(attempts) == counts["attempts"]
    assert len({attempt["mini_batch"] for attempt in attempts}) == counts["mini_batches"]
    for place in filter(None, (output["location"], quarantine["location"])):
        assert not (Path(place) / "_sparkscore").exists(), "a stage was left behind"


def _of_run(table: pa.Table, run_id: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [row for row in table.to_pylist() if row["run_id"] == run_id]
    return rows
