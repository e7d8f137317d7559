"""What is refused of a folder of Parquet files before anything is scored."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql.types import DataType, LongType, StringType, StructField, StructType

from sparkscore.errors import SinkError, SinkSchemaError
from sparkscore.sinks import StagedResult, Target, staged_in
from sparkscore.sinks.parquet import ParquetSink
from sparkscore.sinks.target import check_writable
from sparkscore.spark.schema import to_arrow
from sparkscore.stage.writer import StageWriter


def schema_of(day: DataType) -> StructType:
    return StructType([StructField("x", LongType()), StructField("day", day), StructField("run_id", StringType())])


def sink_of(place: Path, run_id: str) -> ParquetSink:
    return ParquetSink(None, Target(place, "append", ("day",), run_id, "run_id"))  # type: ignore[arg-type]


def publish(sink: ParquetSink, day: Any, kind: DataType) -> None:
    schema = schema_of(kind)
    with staged_in(sink.target, None, "id", is_moved=True) as stage:
        writer = StageWriter(str(stage.path), 0, partition_by=("day",), left_out=("run_id",))
        writer.write(pa.table({"x": [1], "day": [day], "run_id": ["r"]}, schema=to_arrow(schema)))
        sink.publish(StagedResult(stage, writer.finish(), schema, {}))


def test_a_partition_column_of_another_type_is_refused_and_of_the_same_is_appended(tmp_path: Path) -> None:
    publish(sink_of(tmp_path / "out", "one"), "007", StringType())

    with pytest.raises(SinkSchemaError, match=r"OUTPUT_SCHEMA_DIFFERS.*'day' is bigint in the result and string"):
        sink_of(tmp_path / "out", "two").check_schema(schema_of(LongType()))

    sink_of(tmp_path / "out", "two").check_schema(schema_of(StringType()))
    publish(sink_of(tmp_path / "out", "two"), "7", StringType())
    assert {path.parent.name for path in (tmp_path / "out").rglob("*.parquet")} == {"day=007", "day=7"}


def test_folders_of_earlier_versions_tell_no_types_and_are_appended_to(tmp_path: Path) -> None:
    publish(sink_of(tmp_path / "out", "one"), "007", StringType())
    (tmp_path / "out" / "run_id=one" / "_sparkscore.json").write_text('{"files": {}}')

    sink_of(tmp_path / "out", "two").check_schema(schema_of(LongType()))


@pytest.mark.parametrize(
    ("bytes_free", "files_free", "files", "is_refused"),
    [(0, 5, 9, True), (5, 0, 9, True), (5, 5, 9, False), (5, 0, 0, False), (0, 0, 0, True)],
)
def test_a_full_file_system_is_refused_and_one_that_does_not_count_is_not(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bytes_free: int,
    files_free: int,
    files: int,
    *,
    is_refused: bool,
) -> None:
    found = SimpleNamespace(f_blocks=9, f_bavail=bytes_free, f_files=files, f_favail=files_free)
    monkeypatch.setattr(os, "statvfs", lambda _: found)
    target = Target(tmp_path / "a" / "out", "append", (), "r", "run_id")

    if is_refused:
        with pytest.raises(SinkError, match=r"OUTPUT_NO_SPACE.*Make room there"):
            check_writable(target)
    else:
        check_writable(target)
    found.f_blocks = found.f_files = 0
    check_writable(target)
