"""What an attempt at a task takes up of what earlier attempts have done."""

from __future__ import annotations

import dataclasses
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparkscore.errors import ScoringError
from sparkscore.minibatch import BLOCK_COLUMNS, SOURCE_FILE_COLUMN, MiniBatch, MiniBatchLimit
from sparkscore.stage import REPORT_SCHEMA, MiniBatchReport, read_reports
from sparkscore.stage.chunks import ChunkLimit, read_chunk
from sparkscore.stage.stage_folder import TaskFolder
from sparkscore.worker import WorkerSpec, loaded, score_task
from sparkscore.worker.loaded import KeptEngines
from tests.support.scorers import Loads, RecordingScorer, folder_of


def blocks(*sizes: tuple[str, int]) -> list[pa.RecordBatch]:
    """Make the rows of blocks, each of a file and some rows, numbered through."""
    starts = [sum(size for _, size in sizes[:number]) for number in range(len(sizes))]
    return [
        pa.RecordBatch.from_pydict(
            {
                "x": pa.array(range(start, start + size), pa.int64()),
                SOURCE_FILE_COLUMN: [file] * size,
                BLOCK_COLUMNS[0]: [start] * size,
                BLOCK_COLUMNS[1]: [size] * size,
            }
        )
        for start, (file, size) in zip(starts, sizes, strict=True)
        if size
    ]


def scored_values(batches: list[pa.RecordBatch], spec: WorkerSpec) -> list[int]:
    """Give what is in the files that the reports name."""
    reports = read_reports(pa.Table.from_batches(batches, schema=REPORT_SCHEMA))
    files = [file.path for report in reports for file in report.staged]
    return sorted(value for path in files for value in pq.read_table(folder_of(spec) / path)["prediction"].to_pylist())


@given(
    sizes=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 25)), min_size=1, max_size=4),
    chunk=st.integers(1, 40),
    deaths=st.lists(st.integers(0, 12), max_size=3),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whenever_a_task_dies_its_next_attempts_score_what_is_not_in_a_chunk_once(
    sizes: list[tuple[str, int]], chunk: int, deaths: list[int], loads: Loads, spec: WorkerSpec, tmp_path: Path
) -> None:
    folder = tmp_path / uuid.uuid4().hex
    folder.mkdir()
    own = dataclasses.replace(
        spec, stage=TaskFolder(str(folder)), limit=MiniBatchLimit(items=5), chunk=ChunkLimit(items=chunk)
    )
    total = sum(size for _, size in sizes)
    calls = 0
    for death in [*deaths, None]:
        kept = sum(report.items for report in done_reports(folder))
        scorer = DyingScorer(death)
        loads.coming, loaded._engines = [scorer], KeptEngines()
        try:
            sent = list(score_task(blocks(*sizes), own, 3))
        except SystemError:
            assert sum(report.items for report in done_reports(folder)) >= kept
        else:
            assert sum(batch.item_count for batch in scorer.called) == total - kept
            break
        finally:
            calls += len(scorer.called)

    assert scored_values(sent, own) == list(range(total))
    reports = read_reports(pa.Table.from_batches(sent, schema=REPORT_SCHEMA))
    assert sum(report.items for report in reports) == total
    assert len({report.mini_batch for report in reports}) == len(reports)


class DyingScorer(RecordingScorer):
    """A scorer whose process dies in a call, as far as Python can play that."""

    def __init__(self, death: int | None) -> None:
        super().__init__(lambda mini_batch: mini_batch.rows["x"].to_pylist() if mini_batch.rows else None)
        self._death = death

    def score(self, mini_batch: MiniBatch) -> object:
        if len(self.called) == self._death:
            raise SystemError("the worker process died here")
        return super().score(mini_batch)


def done_reports(folder: Path) -> list[MiniBatchReport]:
    paths = sorted((folder / "done").glob("[0-9]*"))
    return [report for path in paths for report in read_chunk(str(folder), *map(int, path.name.split("-")))]


def test_rows_that_come_in_other_blocks_are_scored_anew(loads: Loads, spec: WorkerSpec) -> None:
    loads.coming = [RecordingScorer(), RecordingScorer()]
    list(score_task(blocks(("a", 20), ("a", 20)), spec, 3))
    loaded._engines = KeptEngines()

    sent = list(score_task(blocks(("a", 40)), spec, 3))

    assert sum(report.items for report in read_reports(pa.Table.from_batches(sent))) == 40
    assert len(loads.coming) == 0


def test_rows_that_come_in_another_order_in_the_midst_of_a_chunk_are_scored_by_the_next_attempt(
    loads: Loads, spec: WorkerSpec
) -> None:
    scorer = RecordingScorer()
    loads.coming = [RecordingScorer(), scorer]
    list(score_task(blocks(("a", 20), ("b", 20)), spec, 3))
    loaded._engines = KeptEngines()

    with pytest.raises(ScoringError, match="CHUNK_DIFFERS"):
        list(score_task(blocks(("a", 20), ("c", 20)), spec, 3))
    list(score_task(blocks(("a", 20), ("c", 20)), spec, 3))

    assert sum(batch.item_count for batch in scorer.called) == 40
