from __future__ import annotations

import io
import json
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given

from sparkscore.errors import ScoringError
from sparkscore.sql.formats import FORMATS, as_csv, as_json, as_table

TEXTS = st.none() | st.text() | st.sampled_from(["", "NULL", " ", 'a"b', "a,b", "a\nb", "\r", "NaN"])


@given(st.lists(st.tuples(TEXTS, st.none() | st.integers(-(2**63), 2**63 - 1))))
def test_csv_keeps_null_apart_from_all_texts(rows: list[tuple[str | None, int | None]]) -> None:
    texts, numbers = [row[0] for row in rows], [row[1] for row in rows]

    written = "".join(as_csv(pa.table({"a,": pa.array(texts, pa.string()), "n": pa.array(numbers, pa.int64())})))

    found = pyarrow.csv.read_csv(
        io.BytesIO(written.encode()),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={"a,": pa.string(), "n": pa.int64()},
            null_values=[""],
            quoted_strings_can_be_null=False,
            strings_can_be_null=True,
        ),
    )
    assert found.to_pydict() == {"a,": texts, "n": numbers}


@pytest.mark.parametrize("count", [0, 1, 2500])
def test_json_has_a_line_for_each_row_in_the_order_of_the_columns(count: int) -> None:
    table = pa.table({"z": list(range(count)), "a": [{"b": None}] * count})

    lines = "".join(as_json(table)).splitlines()

    assert [json.loads(line) for line in lines] == table.to_pylist()
    assert all(list(json.loads(line)) == ["z", "a"] for line in lines)


def test_the_first_rows_are_written_before_the_last_are_read() -> None:
    assert len(list(as_json(pa.table({"a": list(range(2500))})))) == 3


def test_a_table_is_aligned_and_escapes_what_a_terminal_obeys() -> None:
    written = "".join(as_table(pa.table({"id": [1, 22], "name": ["日本\x1b[31m", None]})))

    assert written.splitlines() == [
        "+--+------------+",
        "|id|name        |",
        "+--+------------+",
        "| 1|日本\\x1b[31m|",
        "|22|NULL        |",
        "+--+------------+",
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_a_result_without_columns_is_nothing(name: str) -> None:
    assert list(FORMATS[name](pa.table({}))) == []


@pytest.mark.parametrize("name", FORMATS)
def test_two_chunks_are_one_result(name: str) -> None:
    chunks = pa.table({"a": pa.chunked_array([[1], [2]])})

    assert list(FORMATS[name](chunks)) == list(FORMATS[name](pa.table({"a": [1, 2]})))


@pytest.mark.parametrize("name", FORMATS)
def test_a_text_that_is_not_utf_8_is_refused_with_the_way_to_print_it(name: str) -> None:
    broken: Any = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())

    with pytest.raises(ScoringError, match=r"column 'a'.*CAST\(a AS BINARY\)"):
        list(FORMATS[name](pa.table({"a": broken})))
