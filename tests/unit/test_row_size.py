from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from sparkscore.row_size import size_in_bits

COLUMNS = {
    "flag": (pa.array([True, None, False, True]), 4),
    "number": (pa.array([1, None, 3, 4], pa.int32()), 4 * 32),
    "exact": (pa.array([Decimal(1), None, None, None], pa.decimal128(20, 2)), 4 * 128),
    "text": (pa.array(["ab", None, "", "c"]), 4 * 32 + 3 * 8),
    "raw": (pa.array([b"ab", None, b"", b"c"]), 4 * 32 + 3 * 8),
    "many": (pa.array([[1, 2], None, [], [3]], pa.list_(pa.int64())), 4 * 32 + 3 * 64),
    "pairs": (pa.array([[("a", 1)], None, [], []], pa.map_(pa.string(), pa.int8())), 4 * 32 + 32 + 8 + 8),
    "both": (pa.array([{"n": 1, "s": "x"}, None, {"n": None, "s": None}, {"n": 2, "s": ""}]), 4 * 64 + 4 * 32 + 8),
    "nothing": (pa.nulls(4), 0),
    "fixed": (pa.array([b"abcd"] * 4, pa.binary(4)), 4 * 32),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_the_size_of_rows_is_that_of_their_values(name: str) -> None:
    column, bits = COLUMNS[name]

    assert size_in_bits(pa.record_batch({name: column})) == bits


def test_the_size_of_rows_is_the_sum_of_the_sizes_of_each_row() -> None:
    rows = pa.record_batch({name: column for name, (column, _) in COLUMNS.items()})

    singles = [size_in_bits(rows.slice(position, 1)) for position in range(rows.num_rows)]

    assert sum(singles) == size_in_bits(rows)
    assert size_in_bits(rows.slice(1, 2)) == singles[1] + singles[2]
    assert size_in_bits(rows.slice(0, 0)) == 0
