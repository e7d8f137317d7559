"""The limit: as many bare processes as cores, PyArrow, and the model's own library. Nothing is safe here."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import convert_to_deltalake

from tests.bench.cases import Case
from tests.bench.predictor import BATCH, Predict, load_predict, load_script, score_batch

Part = tuple[str, tuple[int, ...]]
_FILES_OF_A_CALL: Final = 10
_PROCESSES: Final = os.cpu_count() or 1


class Limit:
    """A pool of processes that have the model loaded; each writes one file.

    The parts of the input are dealt before a run, the largest first, so that no process waits for another.
    """

    def __init__(self, case: Case, name: str) -> None:
        self._begin(case, name)

    def _begin(self, case: Case, name: str) -> None:
        self._case = case
        self._deal = _deal_rows if case.items == "rows" else _deal_files
        # Each process has a core; libraries would start a thread for each core.
        os.environ["OMP_NUM_THREADS"] = "1"
        context = multiprocessing.get_context("spawn")
        self._pool = context.Pool(_PROCESSES, initializer=_prepare, initargs=(case, name == "limit-lineage"))

    def turn_to(self, case: Case, name: str) -> None:
        self.stop()
        self._begin(case, name)

    def run(self, source: str, output: str) -> dict[str, Any]:
        Path(output).mkdir()
        jobs = [(parts, f"{output}/{number}.parquet") for number, parts in enumerate(self._deal(source)) if parts]
        self._pool.map(_score_rows if self._case.items == "rows" else _score_files, jobs, chunksize=1)
        if self._case.output_format == "delta":
            convert_to_deltalake(output)
        return {}

    def stop(self) -> None:
        self._pool.terminate()


def start(case: Case, name: str) -> Limit:
    return Limit(case, name)


_loaded: dict[str, Any] = {}


def _prepare(case: Case, with_lineage: bool) -> None:  # noqa: FBT001 - a pool passes its arguments by position
    pa.set_cpu_count(1)
    _loaded["case"], _loaded["lineage"] = case, with_lineage
    _loaded["predict"] = load_predict(case) if case.items == "rows" else load_script(case)


def _deal_rows(source: str) -> list[list[Part]]:
    """Deal the row groups of all files, so that each process gets about the same number of rows."""
    hands: list[dict[str, list[int]]] = [{} for _ in range(_PROCESSES)]
    loads = [0] * _PROCESSES
    groups = [
        (meta.row_group(group).num_rows, str(path), group)
        for path in sorted(Path(source).glob("*.parquet"))
        for meta in [pq.read_metadata(path)]
        for group in range(meta.num_row_groups)
    ]
    for rows, path, group in sorted(groups, key=lambda each: -each[0]):
        hand = loads.index(min(loads))
        loads[hand] += rows
        hands[hand].setdefault(path, []).append(group)
    return [[(path, tuple(found)) for path, found in hand.items()] for hand in hands]


def _deal_files(source: str) -> list[list[Part]]:
    """Deal the files by their sizes."""
    hands: list[list[Part]] = [[] for _ in range(_PROCESSES)]
    loads = [0] * _PROCESSES
    sizes = [(entry.stat().st_size, entry.path) for entry in os.scandir(source)]
    for size, path in sorted(sizes, reverse=True):
        hand = loads.index(min(loads))
        loads[hand] += size + 1
        hands[hand].append((path, ()))
    return hands


def _score_rows(job: tuple[list[Part], str]) -> None:
    parts, output = job
    case, predict = _loaded["case"], _loaded["predict"]
    writer = None
    for batch in _batches(parts, case, predict):
        # Ids and predictions hardly repeat: a dictionary of them costs as much as the model.
        repeated = [name for name in batch.schema.names if name not in {"id", "prediction"}]
        writer = writer or pq.ParquetWriter(output, batch.schema, use_dictionary=repeated or False)
        writer.write_batch(batch, row_group_size=None)
    if writer is not None:
        writer.close()


def _batches(parts: list[Part], case: Case, predict: Predict) -> Iterator[pa.RecordBatch]:
    columns = list(dict.fromkeys([*case.carry, *case.features]))
    for path, groups in parts:
        with pq.ParquetFile(path) as file:
            scored = []
            for batch in file.iter_batches(BATCH, row_groups=list(groups), columns=columns, use_threads=False):
                scored.append(score_batch(predict, batch, case))
                if _loaded["lineage"]:
                    scored[-1] = _with_lineage(scored[-1], path)
            # One row group for each part: many small ones would cost more than the rows in them.
            yield from pa.Table.from_batches(scored).combine_chunks().to_batches()


def _with_lineage(batch: pa.RecordBatch, path: str) -> pa.RecordBatch:
    values = {
        "run_id": pa.scalar("limit"),
        "model_name": pa.scalar("model"),
        "model_version": pa.scalar("1"),
        "scored_at": pa.scalar(datetime.now(UTC), pa.timestamp("us", "UTC")),
        "source_file": pa.scalar(path),
    }
    for name, value in values.items():
        batch = batch.append_column(name, pa.repeat(value, batch.num_rows))
    return batch


def _score_files(job: tuple[list[Part], str]) -> None:
    parts, output = job
    run, paths = _loaded["predict"], [path for path, _ in job[0]]
    rows: list[Any] = []
    for first in range(0, len(parts), _FILES_OF_A_CALL):
        rows.extend(run(paths[first : first + _FILES_OF_A_CALL]))
    pq.write_table(pa.Table.from_pylist(rows), output)
