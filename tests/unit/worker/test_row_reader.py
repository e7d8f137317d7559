from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkscore.errors import SourceError
from sparkscore.location import plain_path
from sparkscore.minibatch import MiniBatch, MiniBatchLimit
from sparkscore.object_store import Keys, ObjectStore
from sparkscore.parquet import ColumnRead, FilePart, ParquetReader
from sparkscore.row_units import FileRows, plan_row_units
from sparkscore.stage import StageFolder
from sparkscore.worker import WorkerSpec, score_task
from sparkscore.worker.host import HostCheck
from sparkscore.worker.row_reader import RowReader
from tests.support.s3_server import ACCESS, SECRET, s3_server
from tests.support.scorers import Loads, RecordingScorer

READER = ParquetReader((ColumnRead("id", pa.int64()), ColumnRead("text", pa.string())))
UNIT = pa.record_batch({"id": [0]})


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "a.parquet"
    rows = pa.table({"id": range(25), "text": [f"row {number}" for number in range(25)]})
    pq.write_table(rows, path, row_group_size=10)
    return str(path)


def ids_of(mini_batch: MiniBatch) -> list[int]:
    assert mini_batch.rows is not None
    found: list[int] = mini_batch.rows["id"].to_pylist()
    return found


def test_mini_batches_are_the_next_rows_of_a_file_and_say_where_they_are(file: str) -> None:
    parts = [FilePart(file, 8, 12), FilePart(file, 0, 3)]

    found = list(RowReader(READER).read(parts, MiniBatchLimit(items=8), 7, None))

    assert [ids_of(each) for each in found] == [list(range(8, 16)), list(range(16, 20)), [0, 1, 2]]
    assert [each.mini_batch_id for each in found] == ["7-0", "7-1", "7-2"]
    assert [each.input_position for each in found] == [f"{file}:8+8", f"{file}:16+4", f"{file}:0+3"]
    assert [each.first_row for each in found] == [8, 16, 0]
    assert found[0].files == (file,)


def test_a_file_is_one_mini_batch_where_there_is_no_limit(file: str) -> None:
    (found,) = RowReader(READER).read([FilePart(file, 0, 25)], MiniBatchLimit(), 0, None)

    assert ids_of(found) == list(range(25))
    assert found.is_indivisible


def test_rows_without_some_columns_are_read_again_as_a_whole(file: str) -> None:
    reader = RowReader(READER, ("id",))

    _, second, _ = reader.read([FilePart(file, 0, 25)], MiniBatchLimit(items=9), 0, None)

    assert second.rows is not None
    assert second.rows.column_names == ["id"]
    whole = reader.with_all_columns(second).rows
    assert whole is not None
    assert whole.to_pydict() == {"id": list(range(9, 18)), "text": [f"row {number}" for number in range(9, 18)]}


def test_a_file_that_a_worker_on_another_host_does_not_see_is_named(tmp_path: Path) -> None:
    check = HostCheck((), (), "digest", "1.0")

    with pytest.raises(SourceError, match=r"\[INPUT_NOT_SEEN\].*gone\.parquet"):
        list(RowReader(READER).read([FilePart(str(tmp_path / "gone.parquet"), 0, 1)], MiniBatchLimit(), 0, check))


def test_a_task_scores_the_rows_of_its_unit_and_takes_up_what_is_done(
    loads: Loads, spec: WorkerSpec, tmp_path: Path, file: str
) -> None:
    stage = StageFolder(tmp_path)
    limit = MiniBatchLimit(items=10)
    planned = stage.keep_parts(plan_row_units([FileRows(file, (10, 10, 5), (1, 1, 1))], limit, 1), {file: 25})
    spec = dataclasses.replace(spec, limit=limit, reader=RowReader(READER), units=tuple(planned))

    scorer = RecordingScorer()
    loads.coming = [scorer]

    list(score_task([UNIT], spec, 0))
    done = stage.done_units(planned)

    assert [report.items for report in done[0]] == [10, 10, 5]
    assert [report.place for report in done[0]] == [f"{file}:0+10", f"{file}:10+10", f"{file}:20+5"]
    again = list(score_task([UNIT], spec, 0))
    assert sum(batch.num_rows for batch in again) == 3
    assert [ids_of(each) for each in scorer.called] == [[*range(10)], [*range(10, 20)], [*range(20, 25)]]


class ForgetfulScorer(RecordingScorer):
    """Keeps no mini-batches, so that their rows can be freed."""

    def score(self, mini_batch: MiniBatch) -> object:
        returned = super().score(mini_batch)
        self.called.clear()
        return returned


@pytest.mark.parametrize("items", [2_500, 10_000, 15_000])
def test_a_task_lets_go_of_rows_before_it_reads_the_next_ones(
    loads: Loads, spec: WorkerSpec, tmp_path: Path, items: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, group_bytes = str(tmp_path / "wide.parquet"), 40 * 8 * 10_000
    pq.write_table(pa.table({f"c{n}": range(60_000) for n in range(40)}), path, row_group_size=10_000)
    limit, stage = MiniBatchLimit(items=items), StageFolder(tmp_path)
    planned = stage.keep_parts(plan_row_units([FileRows(path, (10_000,) * 6, (1,) * 6)], limit, 1), {path: 60_000})
    columns = tuple(ColumnRead(f"c{n}", pa.int64()) for n in range(40))
    spec = dataclasses.replace(spec, limit=limit, reader=RowReader(ParquetReader(columns)), units=tuple(planned))
    loads.coming = [ForgetfulScorer()]
    alive: list[int] = []
    iter_batches = pq.ParquetFile.iter_batches

    def noted(*args: Any, **options: Any) -> Any:
        alive.append(pa.total_allocated_bytes())
        return iter_batches(*args, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noted)
    list(score_task([UNIT], spec, 0))

    # Rows of a mini-batch that is not full yet have to wait.
    waiting = 1 if 10_000 % items else 0
    assert len(alive) == 6
    assert max(alive) - alive[0] < (waiting + 0.5) * group_bytes


@pytest.mark.parametrize("items", [1_000, 5_000, 10_000, 25_000])
def test_rows_of_a_mini_batch_come_from_one_record_batch(tmp_path: Path, items: int) -> None:
    path = str(tmp_path / "many.parquet")
    pq.write_table(pa.table({"id": range(100_000)}), path, row_group_size=50_000)
    reader = RowReader(ParquetReader((ColumnRead("id", pa.int64()),)))

    found = list(reader.read([FilePart(path, 0, 100_000)], MiniBatchLimit(items=items), 0, None))

    assert [number for each in found for number in ids_of(each)] == list(range(100_000))
    assert {each.item_count for each in found} == {items}
    assert {each.rows["id"].num_chunks for each in found if each.rows is not None} == {1}


def test_an_object_is_named_as_spark_names_it_and_read_again_by_its_own_name(tmp_path: Path) -> None:
    with s3_server(tmp_path) as server:
        place = server.path("bucket", "a b%41.parquet")
        place.parent.mkdir()
        pq.write_table(pa.table({"id": range(3), "text": ["x"] * 3}), place)
        store = ObjectStore(server.endpoint, "http", "us-east-1", keys=Keys(ACCESS, SECRET))
        reader = RowReader(dataclasses.replace(READER, store=store), ("id",))
        check = HostCheck((), (), "", "")

        (found,) = reader.read([FilePart("s3a://bucket/a b%41.parquet", 0, 3)], MiniBatchLimit(), 0, check)
        whole = reader.with_all_columns(found)

    assert plain_path(found.files[0]) == "s3a://bucket/a b%41.parquet"
    assert whole.rows is not None
    assert whole.rows["text"].to_pylist() == ["x"] * 3
