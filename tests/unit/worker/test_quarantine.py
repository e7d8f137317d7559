"""Failed rows as the quarantine keeps them: JSON from which the same values and types are read again."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from sparkscore.minibatch import MiniBatch
from sparkscore.worker.quarantine import _row_of, _Texts, read_rows

UTC_TIME = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("arrow_type", "values"),
    [
        (pa.int64(), [2**63 - 1, None]),
        (pa.float64(), [0.1, -0.0, float("inf"), None]),
        (pa.string(), ["é\n\"'", None]),
        (pa.bool_(), [True, None]),
        (pa.binary(), [b"\x00\xff", None]),
        (pa.decimal128(38, 9), [Decimal("1.000000001"), None]),
        (pa.date32(), [dt.date(1, 1, 1), None]),
        (pa.timestamp("us", "UTC"), [UTC_TIME, None]),
        (pa.timestamp("us"), [UTC_TIME.replace(tzinfo=None), None]),
        (pa.list_(pa.int64()), [[1, None], [], None]),
        (pa.large_list(pa.date32()), [[dt.date(2026, 1, 1)]]),
        (pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))]), [{"a": 1, "b": ["x"]}, {"a": None, "b": None}]),
        (pa.map_(pa.string(), pa.decimal128(5, 2)), [[("k", Decimal("1.50"))], []]),
    ],
    ids=str,
)
def test_a_row_is_read_again_as_it_was(arrow_type: pa.DataType, values: list[Any]) -> None:
    rows = pa.table({"x": pa.array(values, arrow_type)})
    mini_batch = MiniBatch("0", (), rows)

    texts = [str(_row_of(mini_batch, position)) for position in range(len(values))]

    assert read_rows(texts, rows.schema).equals(rows)


def test_a_file_has_no_row() -> None:
    assert _row_of(MiniBatch("0", ("/in/a",)), 0) is None
    assert _row_of(MiniBatch("0", (), pa.table({"x": [1]})), None) is None


def test_of_no_rows_there_is_a_table_without_rows() -> None:
    schema = pa.schema([("x", pa.int64())])

    assert read_rows([], schema).equals(schema.empty_table())


def test_a_text_has_the_length_of_its_own_column() -> None:
    texts = _Texts()

    assert [len(texts.safe("x" * 50, longest)) for longest in (10, 30, 10)] == [10, 30, 10]
