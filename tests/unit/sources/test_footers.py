from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkscore.plan import InputFile
from sparkscore.sources.footers import count_nulls, read_footers


def written(folder: Path, *tables: pa.Table, **options: object) -> list[str]:
    paths = [str(folder / f"{number}.parquet") for number, _ in enumerate(tables)]
    for path, table in zip(paths, tables, strict=True):
        pq.write_table(table, path, row_group_size=2, **options)
    return paths


def test_nulls_are_added_up_over_row_groups_and_files_and_none_is_not_unknown(tmp_path: Path) -> None:
    paths = written(
        tmp_path,
        pa.table({"a": [1, None, 3, None, 5], "b": [1, 2, 3, 4, 5]}),
        pa.table({"a": pa.array([None], pa.int64()), "b": [6]}),
    )

    assert count_nulls(paths, ["a", "b", "c"]) == {"a": 3, "b": 0}


def test_statistics_that_are_missing_in_one_file_say_nothing_unless_another_has_a_null(tmp_path: Path) -> None:
    (tmp_path / "without").mkdir()
    told = written(tmp_path, pa.table({"a": [1, None], "b": [1, 2]}))
    untold = written(tmp_path / "without", pa.table({"a": [1, 2], "b": [None, 2]}), write_statistics=False)

    assert count_nulls(told + untold, ["a", "b"]) == {"a": 1}


def test_a_column_that_a_file_does_not_have_is_unknown_unless_the_file_has_no_row(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    paths = written(tmp_path, pa.table({"a": [1, 2], "A": [3, 4]}), pa.table({"A": [5]}))
    empty = written(tmp_path / "empty", pa.table({"x": pa.array([], pa.int64())}))

    assert count_nulls(paths, ["a", "A"]) == {"A": 0}
    assert count_nulls([paths[0], *empty], ["a", "A"]) == {"a": 0, "A": 0}


@pytest.mark.parametrize(("rows", "counts"), [(4, {"a": 1, "b": 0}), (3, {"b": 0}), (None, {"a": 1, "b": 0})])
def test_nulls_may_be_among_the_rows_that_are_deleted(tmp_path: Path, rows: int | None, counts: dict[str, int]) -> None:
    paths = written(tmp_path, pa.table({"a": [1, None, 3, 4], "b": [1, 2, 3, 4]}))

    assert count_nulls(paths, ["a", "b"], rows) == counts


def test_a_part_of_a_column_is_not_taken_for_a_column_with_a_dot(tmp_path: Path) -> None:
    paths = written(tmp_path, pa.table({"s": [{"a": None}, {"a": 1}], "s.a": [1, 2], "a": [1, 2]}))

    assert count_nulls(paths, ["s.a", "s", "a"]) == {"a": 0}


def test_a_file_that_cannot_be_read_leaves_everything_unknown(tmp_path: Path) -> None:
    paths = written(tmp_path, pa.table({"a": [1, 2]}))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")

    assert count_nulls([*paths, str(tmp_path / "broken.parquet")], ["a"]) == {}
    assert count_nulls([], ["a"]) == {}


def test_nulls_are_counted_while_the_footers_are_read_for_the_types(tmp_path: Path) -> None:
    paths = written(
        tmp_path,
        pa.table({"a": [1, None, 3], "b": [1, 2, 3], "s": [{"x": None}, None, None]}),
        pa.table({"a": [None, 2], "b": pa.array([1, 2], pa.int64()), "s": [{"x": 1}, None]}),
    )

    footers = read_footers([InputFile(path, 1, 1) for path in paths])
    some = read_footers([InputFile(path, 1, 1) for path in paths], ["b"])
    for path in paths:
        Path(path).unlink()

    assert [list(footer.columns) for footer in footers.of_files if footer] == [["a", "b", "s"]] * 2
    assert footers.nulls.of(["a", "b", "s", "s.x", "z"]) == {"a": 2, "b": 0}
    assert some.nulls.of(["a", "b"]) == {"b": 0}
