from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkscore.parquet.stored import describe
from sparkscore.survey import parquet_footers
from sparkscore.survey.parquet_footers import find_as_text, find_footers, footers_in

PAIR = pa.list_(pa.int64(), 2)
TABLES = [
    pa.table({"a": [1, None, 3], "b": ["x", "y", None]}),
    pa.table({"a": [None, 2.5]}),
    pa.table({"a": pa.array([], pa.float64())}),
    pa.table({"s": [{"a": None}], "s.a": [1]}),
    pa.table({"f": pa.array([[1, 2]], PAIR)}),
    pa.table({"f": pa.array([None], PAIR)}),
    pa.table({"a": [1]}).replace_schema_metadata({"pandas": "1"}),
    pa.table({"a": [2]}).replace_schema_metadata({"pandas": "2"}),
]


@settings(max_examples=20, deadline=None)
@given(
    numbers=st.lists(st.integers(-1, len(TABLES) - 1), max_size=12),
    columns=st.sampled_from([None, ("a",), ("b", "f"), ()]),
)
def test_files_have_the_same_layout_if_they_are_described_alike(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], columns: tuple[str, ...] | None
) -> None:
    folder = tmp_path_factory.mktemp("in")
    paths = [str(folder / f"{place}.parquet") for place, _ in enumerate(numbers)]
    for path, number in zip(paths, numbers, strict=True):
        if number >= 0:
            pq.write_table(TABLES[number], path, row_group_size=2)
        else:
            Path(path).write_bytes(b"PAR1")

    found = find_footers(paths, columns)

    described = [None if number < 0 else pq.read_metadata(path) for path, number in zip(paths, numbers, strict=True)]
    for file, metadata in zip(found.files, described, strict=True):
        assert (file is None) == (metadata is None)
        for other, its in zip(found.files, described, strict=True):
            if metadata is not None and its is not None:
                is_alike = describe(metadata) == describe(its) and (not metadata.num_rows) == (not its.num_rows)
                assert file is not None
                assert other is not None
                assert (file.layout == other.layout) == is_alike
    assert [file and sum(file.rows or ()) for file in found.files] == [each and each.num_rows for each in described]
    assert footers_in(find_as_text((tuple(paths), columns, None))) == found


def test_layouts_are_found_if_more_are_different_than_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_footers, "_MOST_KEYS", 1)
    for number in range(4):
        metadata = {"pandas": str(number)}
        pq.write_table(pa.table({"a": [1]}).replace_schema_metadata(metadata), tmp_path / f"{number}.parquet")

    found = find_footers([str(tmp_path / f"{number}.parquet") for number in range(4)], None)

    assert len({file.layout for file in found.files if file}) == 1


def test_what_arrow_cannot_read_has_no_layout_but_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise pa.ArrowInvalid("no such type")

    monkeypatch.setattr(parquet_footers, "layout_key", fail)
    pq.write_table(pa.table({"a": [1, None]}), tmp_path / "a.parquet")

    found = find_footers([str(tmp_path / "a.parquet")], None)

    (file,) = found.files
    assert file is not None
    assert (file.layout, file.rows) == (None, (2,))
    assert found.nulls.of(["a"]) == {"a": 1}
