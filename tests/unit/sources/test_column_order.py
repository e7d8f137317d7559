from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkscore.plan import InputFile
from sparkscore.sources.column_order import doubt_of_parquet, order_of_json
from sparkscore.sources.footers import names_of, read_footers

RECORD = '{"z": 1, "nested": {"b": [{"z": 1}], "a": 2}, "a": "{\\"}", "m": null}'
ORDER = ["z", "nested", "a", "m"]


def write(folder: Path, name: str, content: bytes | str) -> InputFile:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return InputFile(str(path), 1, 1)


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.json", RECORD + "\n" + '{"a": 1, "z": 2}\n', {}),
        ("a.json", "\n\n  " + RECORD, {}),
        ("a.json", "\ufeff" + RECORD, {}),
        ("a.json", "[\n" + json.dumps(json.loads(RECORD), indent=2) + ", {}]", {"multiLine": "true"}),
        ("a.json", RECORD.encode("utf-16-le"), {"encoding": "UTF-16LE"}),
        ("a.json", RECORD.encode("utf-16-le"), {"charset": "UTF-16LE"}),
        ("a.json", RECORD.replace("null", '"' + "ü" * 40_000 + '"'), {}),
        ("a.json.gz", gzip.compress(RECORD.encode()), {}),
        ("a.json.bz2", bz2.compress(RECORD.encode()), {}),
    ],
)
def test_the_first_record_gives_the_order(
    name: str, content: bytes | str, options: dict[str, str], tmp_path: Path
) -> None:
    assert order_of_json([write(tmp_path, name, content)], options, sorted(ORDER)) == (ORDER, "")


@pytest.mark.parametrize("content", ["", "3", "{'z': 1}", '{"z": ', "[]", b"\xff\xfe\x00"])
def test_a_first_record_that_cannot_be_read_leaves_the_order_in_doubt(content: bytes | str, tmp_path: Path) -> None:
    order, doubt = order_of_json([write(tmp_path, "a.json", content)], {}, ["a", "z"])

    assert order == ["a", "z"]
    assert "cannot be read" in doubt


def test_a_column_that_the_first_record_lacks_has_no_place(tmp_path: Path) -> None:
    order, doubt = order_of_json([write(tmp_path, "a.json", '{"z": 1, "b": 2}\n{"a": 3}')], {}, ["a", "b", "z"])

    assert order == ["z", "b", "a"]
    assert "lacks 'a'" in doubt


def test_files_whose_first_records_differ_in_order_are_named(tmp_path: Path) -> None:
    files = [write(tmp_path, f"{name}.json", text) for name, text in (("a", '{"z":1,"a":2}'), ("b", '{"a":1,"z":2}'))]

    order, doubt = order_of_json(files, {}, ["a", "z"])

    assert order == ["z", "a"]
    assert "a.json" in doubt
    assert "b.json" in doubt


def test_a_file_that_omits_a_field_agrees(tmp_path: Path) -> None:
    files = [
        write(tmp_path, f"{name}.json", text) for name, text in (("a", '{"z":1,"b":0,"a":2}'), ("b", '{"z":1,"a":2}'))
    ]

    assert order_of_json(files, {}, ["a", "b", "z"]) == (["z", "b", "a"], "")


@pytest.mark.parametrize(
    ("second", "is_doubted"), [(["b", "a"], False), (["a", "b"], True), (["b", "a", "c"], True), (["b"], True)]
)
def test_parquet_files_share_one_order(second: list[str], *, is_doubted: bool, tmp_path: Path) -> None:
    for name, columns in (("1.parquet", ["b", "a"]), ("2.parquet", second)):
        pq.write_table(pa.table({column: [1] for column in columns}), tmp_path / name)
    files = [InputFile(str(tmp_path / name), 1, 1) for name in ("1.parquet", "2.parquet")]

    found = names_of(read_footers(files).of_files)
    assert bool(doubt_of_parquet(files, found)) is is_doubted
    assert doubt_of_parquet(files[1:], found[1:]) == ""
