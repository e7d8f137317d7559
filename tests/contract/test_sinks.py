from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from shutil import rmtree

import deltalake
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.types import StructField, StructType

from sparkscore.config import Output
from sparkscore.errors import SinkConflictError, SinkError, SinkSchemaError
from sparkscore.sinks import Published, Sink, StagedResult, open_sink, staged_in
from sparkscore.spark.schema import from_arrow
from sparkscore.stage.writer import StageWriter

ROWS = pa.table(
    {
        "id": pa.array([1, 2, 3, 2**53 + 1], pa.int64()),
        "score": pa.array([0.5, float("nan"), None, -0.0], pa.float64()),
        "label": pa.array(["a", "b/c=d %", None, "a"], pa.string()),
        "day": pa.array([date(2026, 1, 1), date(1999, 12, 31), None, date(2026, 1, 1)], pa.date32()),
    }
)

Publish = Callable[..., tuple[Sink, Published]]


@pytest.fixture(params=["delta", "parquet"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def publish(spark: SparkSession, tmp_path: Path, kind: str) -> Publish:
    """Do what a run does with a sink: check, stage in two attempts of which one counts, publish."""

    def run(
        run_id: str,
        mode: str = "append",
        rows: pa.Table = ROWS,
        partition_by: tuple[str, ...] = (),
        before_publish: Callable[[Path], object] = lambda stage: stage,
    ) -> tuple[Sink, Published]:
        output = Output(
            format=kind,  # type: ignore[arg-type]
            location=str(tmp_path / "out"),
            mode=mode,  # type: ignore[arg-type]
            partition_by=partition_by,
        )
        sink = open_sink(spark, output, run_id, "run_id")
        rows = rows.append_column("run_id", pa.repeat(pa.scalar(run_id), rows.num_rows))
        schema = nullable(from_arrow(rows.schema))
        sink.check_target()
        with staged_in(sink.target, None, "identity", is_moved=sink.moves_files) as opened:
            stage = opened.path
            sink.check_schema(schema)
            layout = sink.lay_out(schema, opened)._asdict()
            lost, winner = (StageWriter(str(stage), 0, **layout) for _ in range(2))
            lost.write(rows)
            lost.finish()
            winner.write(rows)
            staged = StagedResult(opened, winner.finish(), schema, {"model_name": "m"})
            before_publish(stage)
            return sink, sink.publish(staged)

    return run


def nullable(schema: StructType) -> StructType:
    return StructType([StructField(field.name, field.dataType) for field in schema])


def read_with_second_reader(kind: str, folder: Path) -> pa.Table:
    if kind == "delta":
        return deltalake.DeltaTable(str(folder)).to_pyarrow_table()
    return pyarrow.dataset.dataset(folder, partitioning="hive").to_table()


def ids(table: pa.Table) -> list[int]:
    return sorted(table.column("id").to_pylist())


@pytest.mark.each_spark
def test_the_rows_of_the_named_files_are_there_bit_by_bit(kind: str, publish: Publish, tmp_path: Path) -> None:
    sink, published = publish("one")

    table = read_with_second_reader(kind, tmp_path / "out").sort_by("id").select(ROWS.schema.names)
    assert published.rows == 4
    assert [str(row) for row in table.to_pylist()] == [str(row) for row in ROWS.to_pylist()]
    assert sorted(row["id"] for row in sink.read(published).collect()) == ids(ROWS)


@pytest.mark.parametrize("columns", [("label",), ("day",), ("label", "day")])
def test_partitions_hold_every_row_under_its_value(
    kind: str, publish: Publish, tmp_path: Path, columns: tuple[str, ...]
) -> None:
    sink, published = publish("one", partition_by=columns)

    rows = {row["id"]: row for row in sink.read(published).collect()}
    assert {key: (row["label"], row["day"]) for key, row in rows.items()} == {
        row["id"]: (row["label"], row["day"]) for row in ROWS.to_pylist()
    }
    assert ids(read_with_second_reader(kind, tmp_path / "out")) == ids(ROWS)
    assert list((tmp_path / "out").glob(f"**/{columns[0]}=*")), "the table is not partitioned on disk"


def test_nothing_of_the_stage_is_left(publish: Publish, tmp_path: Path) -> None:
    publish("one")

    assert not (tmp_path / "out" / "_sparkscore").exists()


def test_runs_add_up_with_append_and_each_reads_its_own(kind: str, publish: Publish, tmp_path: Path) -> None:
    publish("one")
    sink, published = publish("two", rows=ROWS.slice(0, 1))

    assert ids(read_with_second_reader(kind, tmp_path / "out")) == [1, 1, 2, 3, 2**53 + 1]
    assert [row["id"] for row in sink.read(published).collect()] == [1]


def test_overwrite_leaves_the_new_rows_only(kind: str, publish: Publish, tmp_path: Path) -> None:
    publish("one")
    publish("two", mode="overwrite", rows=ROWS.slice(0, 1))

    assert ids(read_with_second_reader(kind, tmp_path / "out")) == [1]


def test_error_refuses_what_is_there_and_leaves_it(kind: str, publish: Publish, tmp_path: Path) -> None:
    publish("one", mode="error")

    with pytest.raises(SinkConflictError, match=r"\[OUTPUT_EXISTS\]"):
        publish("two", mode="error")
    assert ids(read_with_second_reader(kind, tmp_path / "out")) == ids(ROWS)


@pytest.mark.parametrize("mode", ["append", "error"])
def test_foreign_files_are_neither_mixed_with_nor_touched(publish: Publish, tmp_path: Path, mode: str) -> None:
    (tmp_path / "out").mkdir()
    pq.write_table(ROWS, tmp_path / "out" / "theirs.parquet")

    with pytest.raises(SinkConflictError):
        publish("one", mode=mode)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["theirs.parquet"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS.drop_columns("score"), "'score' missing in the result"),
        (ROWS.append_column("more", ROWS.column("id")), "'more' not in the table"),
        (ROWS.set_column(1, "score", ROWS.column("id")), "'score' is bigint in the result and double in the table"),
    ],
)
def test_other_columns_than_the_tables_are_refused(publish: Publish, rows: pa.Table, message: str) -> None:
    publish("one")

    with pytest.raises(SinkSchemaError, match=message):
        publish("two", rows=rows)


def test_other_partitions_than_the_tables_are_refused(publish: Publish) -> None:
    publish("one", partition_by=("label",))

    with pytest.raises(SinkSchemaError, match=r"partition columns 'label', expected 'day'"):
        publish("two", partition_by=("day",))


@pytest.mark.each_spark
def test_no_rows_make_an_empty_result_with_its_columns(kind: str, publish: Publish, tmp_path: Path) -> None:
    sink, published = publish("one", rows=ROWS.slice(0, 0))

    assert (published.rows, sink.read(published).count()) == (0, 0)
    assert set(ROWS.schema.names) <= set(read_with_second_reader(kind, tmp_path / "out").schema.names)


@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_a_failed_publish_leaves_the_table_as_it_was(kind: str, publish: Publish, tmp_path: Path, mode: str) -> None:
    publish("one")

    with pytest.raises(SinkError, match=r"\[PUBLISH_FAILED\].* as it was before the run\."):
        publish("two", mode=mode, before_publish=lambda stage: rmtree(stage / "attempts"))
    assert ids(read_with_second_reader(kind, tmp_path / "out")) == ids(ROWS)
    assert not (tmp_path / "out" / "_sparkscore").exists()


def test_what_another_run_put_in_the_way_is_not_replaced(kind: str, publish: Publish, tmp_path: Path) -> None:
    if kind == "delta":
        pytest.skip("Delta resolves this by its log: both commits land")
    theirs = tmp_path / "out" / "run_id=two" / "theirs"

    def get_in_the_way(stage: Path) -> None:
        del stage
        theirs.parent.mkdir()
        theirs.touch()

    with pytest.raises(SinkError, match=r"\[PUBLISH_FAILED\]"):
        publish("two", before_publish=get_in_the_way)
    assert list((tmp_path / "out" / "run_id=two").iterdir()) == [theirs]


@pytest.mark.each_spark
def test_the_commit_tells_the_run(spark: SparkSession, publish: Publish, tmp_path: Path, kind: str) -> None:
    if kind != "delta":
        pytest.skip("a folder of Parquet files has no history; the run id is the folder's name")
    publish("one")
    _, published = publish("two")

    last = deltalake.DeltaTable(str(tmp_path / "out")).history(1)[0]
    assert published.version == 1
    assert json.loads(last["userMetadata"]) == {"run_id": "two", "model_name": "m"}
    assert deltalake.DeltaTable(str(tmp_path / "out")).transaction_version("sparkscore:two:predictions") == 1
    del spark


@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_a_second_publish_of_the_same_run_is_refused(kind: str, publish: Publish, tmp_path: Path, mode: str) -> None:
    sink, published = publish("one")
    assert sink.holds(published)

    with pytest.raises(SinkConflictError, match=r"\[RUN_PUBLISHED\]"):
        publish("one", mode=mode)
    assert ids(read_with_second_reader(kind, tmp_path / "out")) == ids(ROWS)


def test_a_result_that_is_gone_is_not_held(publish: Publish, tmp_path: Path) -> None:
    sink, published = publish("one")

    rmtree(tmp_path / "out")

    assert not sink.holds(published)


def test_overwrite_does_not_remove_what_is_no_table(publish: Publish, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "score.py").touch()

    with pytest.raises(SinkConflictError):
        publish("one", mode="overwrite")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["score.py"]


def test_an_interrupt_between_the_two_renames_leaves_the_old_rows(
    kind: str, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "delta":
        pytest.skip("a Delta commit is one step")
    publish("one")
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if self.name == "published-predictions":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        publish("two", mode="overwrite")
    assert ids(read_with_second_reader(kind, tmp_path / "out")) == ids(ROWS)


def test_bytes_are_no_partition_value(publish: Publish) -> None:
    rows = ROWS.append_column("bytes", pa.array([b"\xff", b"", None, b"a"]))

    with pytest.raises(SinkSchemaError, match=r"\[OUTPUT_PARTITION_TYPE\].*'bytes'.*binary"):
        publish("one", rows=rows, partition_by=("bytes",))


def test_parquet_files_do_not_store_the_run_id(publish: Publish, tmp_path: Path, kind: str) -> None:
    if kind != "parquet":
        pytest.skip("a Delta table stores it as a column")
    publish("one", partition_by=("label",))

    for file in (tmp_path / "out").rglob("*.parquet"):
        assert pq.read_schema(file).names == ["id", "score", "day"]


def test_delta_refuses_column_names_that_it_cannot_store(publish: Publish, kind: str) -> None:
    rows = ROWS.rename_columns(["id", "the score", "label", "day"])
    nested = pa.StructArray.from_arrays([ROWS.column("id").combine_chunks()], ["the score"])
    if kind == "parquet":
        assert publish("one", rows=rows)[1].rows == 4
        return
    with pytest.raises(SinkSchemaError, match=r"\[OUTPUT_COLUMN_NAMES\].*'the score'"):
        publish("one", rows=ROWS.append_column("nested", nested))
    with pytest.raises(SinkSchemaError, match=r"\[OUTPUT_COLUMN_NAMES\].*'the score'"):
        publish("one", rows=rows)


def test_parquet_partitions_only_by_types_whose_text_comes_back(publish: Publish, kind: str) -> None:
    if kind == "delta":
        assert publish("one", partition_by=("score",))[1].rows == 4
        return
    with pytest.raises(SinkSchemaError, match=r"\[OUTPUT_PARTITION_TYPE\].*'score'.*double"):
        publish("one", partition_by=("score",))


def test_the_run_id_is_no_partition_column_where_each_run_has_its_folder(publish: Publish, kind: str) -> None:
    if kind == "delta":
        assert publish("one", partition_by=("run_id",))[1].rows == 4
        return
    with pytest.raises(SinkSchemaError, match=r"\[OUTPUT_PARTITION_RUN\]"):
        publish("one", partition_by=("run_id",))
