from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkscore.stage.statistics import FloatColumns, FloatStatistics, float_statistics, paths_with_statistics
from sparkscore.stage.writer import StageWriter

NAN = math.nan


def found_in(*parts: list[float | None]) -> FloatStatistics:
    columns = FloatColumns(pa.schema([("x", pa.float64()), ("id", pa.int64())]))
    for part in parts:
        columns.add(pa.table({"x": pa.array(part, pa.float64()), "id": range(len(part))}))
    found = float_statistics({key.encode(): text.encode() for key, text in columns.metadata().items()})
    assert list(found) == ["x"]
    return found["x"]


def test_all_parts_of_a_file_count() -> None:
    assert found_in([1.0, None], [-2.5], [None, 7.0]) == FloatStatistics(2, (-2.5, 7.0))


def test_a_nan_anywhere_leaves_no_bounds() -> None:
    assert found_in([1.0], [NAN, None], [2.0]) == FloatStatistics(1, None)
    assert found_in([NAN]) == FloatStatistics(0, None)


def test_no_values_leave_no_bounds() -> None:
    assert found_in() == FloatStatistics(0, None)
    assert found_in([], [None, None]) == FloatStatistics(2, None)


@pytest.mark.parametrize("text", [b"", b"{", b"3", b'{"x": 1}', b'{"x": {"nulls": "a", "bounds": null}}'])
def test_other_metadata_tells_nothing(text: bytes) -> None:
    assert float_statistics({b"sparkscore.floats": text}) == {}
    assert float_statistics(None) == {}


def test_staged_files_have_statistics_of_all_columns_but_floats(tmp_path: Path) -> None:
    """Spark would skip the row with NaN for `x > 3` if the file said that 2.0 is the largest value."""
    table = pa.table(
        {
            "id": [1, 2],
            "x": [2.0, NAN],
            "a.b": [NAN, 1.0],
            "both": pa.array([{"n": 1, "x": NAN}, None], pa.struct([("n", pa.int64()), ("x", pa.float32())])),
            "many": pa.array([[1.0], None], pa.list_(pa.float64())),
            "pairs": pa.array([[("k", NAN)], []], pa.map_(pa.string(), pa.float64())),
            "text": pa.array(["a", "b"]).dictionary_encode(),
        }
    )
    with StageWriter(str(tmp_path), 0) as writer:
        writer.write(table)
        (file,) = writer.finish()

    group = pq.read_metadata(tmp_path / file.path).row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    assert {column.path_in_schema for column in columns if column.is_stats_set} == set(
        paths_with_statistics(table.schema)
    )
    assert paths_with_statistics(table.schema) == ["id", "both.n", "pairs.key_value.key", "text"]
