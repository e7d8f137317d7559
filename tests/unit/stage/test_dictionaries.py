from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.stage.dictionaries import (
    decode,
    drop_unused,
    encode_texts,
    paths_of_repeating,
    repeat_text,
    value_type_of,
)

MANY = 20_000
NUMBERS = np.arange(MANY)
DISTINCT: dict[str, Any] = {
    "int": NUMBERS,
    "float": NUMBERS / 7,
    "text": [str(number) for number in NUMBERS],
    "bytes": [str(number).encode() for number in NUMBERS],
    "decimal": [Decimal(int(number)) / 8 for number in NUMBERS],
    "time": [dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=int(number)) for number in NUMBERS],
    "list": [[float(number), float(number) + 0.5] for number in NUMBERS],
    "struct": [{"x": int(number)} for number in NUMBERS],
}


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("value", ["x", "", None])
def test_a_value_is_repeated(value: str | None, count: int) -> None:
    column = repeat_text(value, count)

    assert column.to_pylist() == [value] * count
    assert value_type_of(column.type) == pa.string()
    assert column.type == encode_texts(["y", None]).type


@given(st.lists(st.lists(st.sampled_from(["a", "b", None]), max_size=4), max_size=5))
def test_dictionaries_of_different_values_decode_to_the_values(parts: list[list[str | None]]) -> None:
    constant = repeat_text("z", 2)
    chunks = [constant, *(encode_texts(part) for part in parts)]
    rows = pa.table({"text": pa.chunked_array(chunks), "n": range(2 + sum(map(len, parts)))})

    plain = decode(rows.unify_dictionaries())

    assert plain.schema == pa.schema([("text", pa.string()), ("n", pa.int64())])
    assert plain["text"].to_pylist() == ["z", "z", *(text for part in parts for text in part)]


def test_rows_without_dictionaries_are_not_copied() -> None:
    rows = pa.table({"text": ["a"]})

    assert decode(rows) is rows


@pytest.mark.parametrize("name", DISTINCT)
def test_a_column_of_different_values_gets_no_dictionary_and_one_of_few_values_does(name: str) -> None:
    distinct = pa.array(DISTINCT[name])
    few = distinct.take(pa.array(NUMBERS % 50))

    assert paths_of_repeating(pa.table({"c": distinct})) == []
    assert len(paths_of_repeating(pa.table({"c": few}))) == 1


def test_the_paths_are_those_of_the_parquet_file() -> None:
    item = {"a": 1, "b": ["x", "x"], "m": [("k", 1)]}
    type_ = pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string())), ("m", pa.map_(pa.string(), pa.int64()))])
    rows = pa.table({"plain": [1] * 9, "nested": pa.array([item] * 9, type_), "lists": [[[1]]] * 9, "a.b": ["x"] * 9})
    rows = rows.append_column("large", pa.array([["x"]] * 9, pa.large_list(pa.large_string())))
    file = io.BytesIO()
    pq.write_table(rows, file)

    schema = pq.ParquetFile(file).schema
    assert paths_of_repeating(rows) == [schema.column(index).path for index in range(len(schema.names))]


def test_only_some_rows_and_bytes_are_examined() -> None:
    numbers = pa.table({"c": [*range(16 * 1024), *[0] * MANY]})
    long_texts = pa.table({"c": [*(f"{number} " * 20_000 for number in range(64)), *["x" * 60_000] * 36]})

    assert paths_of_repeating(numbers) == paths_of_repeating(long_texts) == []
    assert paths_of_repeating(numbers.slice(16 * 1024)) == paths_of_repeating(long_texts.slice(64)) == ["c"]


@pytest.mark.parametrize("type_", [pa.int64(), pa.string(), pa.bool_(), pa.list_(pa.int8()), pa.null()])
def test_a_column_of_nulls_or_without_rows_is_accepted(type_: pa.DataType) -> None:
    paths_of_repeating(pa.table({"c": pa.nulls(3, type_)}))
    paths_of_repeating(pa.table({"c": pa.nulls(0, type_)}))


@given(st.lists(st.sampled_from([None, "a", "b", "", "é"])), st.integers(0, 5), st.integers(0, 5))
def test_only_texts_that_rows_have_are_kept(texts: list[str | None], start: int, count: int) -> None:
    column = pa.array(["unused", *texts], pa.dictionary(pa.int32(), pa.string())).slice(1 + start, count)

    found = drop_unused(column)

    assert found.to_pylist() == column.to_pylist()
    assert found.type == column.type
    assert set(found.dictionary.to_pylist()) == set(column.to_pylist()) - {None}
