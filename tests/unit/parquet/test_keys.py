from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from sparkscore.parquet.keys import FileKeys, FolderKeys, KeyValues, keys_in


def test_keys_are_found_in_folders_below_the_input() -> None:
    found = keys_in(Path("/in/x=0/day=1%3A2/plain/k%20y=a=b"), Path("/in/x=0"))

    assert found == {"day": ("1:2", "day=1%3A2"), "k y": ("a=b", "k%20y=a=b")}


@pytest.mark.parametrize(
    ("folder", "day", "number"), [("day=007/n=7", "007", 7), ("day=x/n=__HIVE_DEFAULT_PARTITION__", "x", None)]
)
def test_values_have_the_type_of_their_column(folder: str, day: str, number: int | None) -> None:
    typed = KeyValues("n", (None, "7"), pa.array([None, 7], pa.int16()))
    keys = FolderKeys("/in", ("day", "n"), (typed,))

    found = keys.values_of(f"/in/{folder}/a.parquet")

    assert found == {"day": pa.scalar(day), "n": pa.scalar(number, pa.int16())}


def test_files_of_a_folder_with_the_same_values_share_them() -> None:
    values = pa.RecordBatch.from_pydict({"n": pa.array([1, 1, 2, None, None, 3], pa.int16()), "d": ["a", "a", "b"] * 2})
    paths = ["/t/n=1/a", "/t/n=1/b", "/t/x/a", "/t/x/b", "/t/y/a", "/other"]

    keys = FileKeys.of(paths, values)

    assert keys.names == ("n", "d")
    assert sorted(keys.rows) == ["", "/t/n=1", "/t/x/a", "/t/x/b", "/t/y"]
    assert [[value.as_py() for value in keys.values_of(path).values()] for path in paths] == [
        list(row.values()) for row in values.to_pylist()
    ]
    assert keys.values_of("/t/y/a") == {"n": pa.scalar(None, pa.int16()), "d": pa.scalar("a")}


def test_values_that_differ_only_in_a_sign_are_kept_apart() -> None:
    values = pa.RecordBatch.from_pydict({"x": [0.0, -0.0, float("nan"), float("nan")]})
    paths = ["/t/a", "/t/b", "/u/a", "/u/b"]

    keys = FileKeys.of(paths, values)

    assert [repr(keys.values_of(path)["x"].as_py()) for path in paths] == ["0.0", "-0.0", "nan", "nan"]
