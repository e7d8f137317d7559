from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkscore.errors import SourceError
from sparkscore.object_store import ObjectStore
from sparkscore.plan import InputFile
from sparkscore.sources.footers import read_footers
from sparkscore.sources.parquet_plan import plan_parquet
from sparkscore.survey.int96_times import find_nanoseconds
from tests.support.s3_server import s3_server


@pytest.mark.parametrize(("number", "is_found"), [(1000, False), (1001, True), (-1, True), (0, False)])
@pytest.mark.parametrize("is_nested", [False, True])
def test_parts_of_a_microsecond_are_found(number: int, tmp_path: Path, *, is_nested: bool, is_found: bool) -> None:
    times = pa.array([2000, None, number], pa.timestamp("ns"))
    values = pa.array([times.to_pylist(), None], pa.list_(times.type)) if is_nested else times
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"at": values}), path, use_deprecated_int96_timestamps=True)

    found = find_nanoseconds([(str(path), ("at",), None)])

    assert found == (json.dumps([str(path), "at"]) if is_found else "")
    files = [InputFile(str(path), 1, 1)]
    footers = read_footers(files).of_files
    assert [footer.old_times for footer in footers if footer] == [{"at"}]
    assert plan_parquet(files, footers, None, None) is None


def test_times_that_nanoseconds_cannot_count_are_no_parts(tmp_path: Path) -> None:
    times = [dt.datetime.fromisoformat(time) for time in ("0001-01-01", "1500-01-01T00:00:00.000001", "9999-12-31")]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"at": pa.array(times)}), path, use_deprecated_int96_timestamps=True)

    assert find_nanoseconds([(str(path), ("at",), None)]) == ""


def test_a_store_that_refuses_does_not_hide_times(tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    pq.write_table(pa.table({"at": [1]}), tmp_path / "bucket" / "a.parquet")
    with s3_server(tmp_path) as server:
        store = ObjectStore(server.endpoint, "http", "us-east-1", is_anonymous=True)

        with pytest.raises(SourceError, match="ACCESS_DENIED"):
            find_nanoseconds([("s3a://bucket/a.parquet", ("at",), store)])
