from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from sparkscore.parquet.keys import FolderKeys, KeyValues, keys_in


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
