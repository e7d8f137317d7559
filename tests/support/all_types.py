"""Rows with every type that an input may have, at the limits of the types, and the same rows as comparable values."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

_UTC: Final = dt.UTC
_STRUCT: Final = pa.struct([("n", pa.int64()), ("text", pa.string())])
_COLUMNS: Final[tuple[tuple[str, pa.DataType, list[Any]], ...]] = (
    ("tiny", pa.int8(), [-128, 127, None, 0]),
    ("small", pa.int16(), [-(2**15), 2**15 - 1, None, 7]),
    ("number", pa.int32(), [-(2**31), 2**31 - 1, None, 0]),
    ("big", pa.int64(), [-(2**63), 2**63 - 1, None, 2**53 + 1]),
    ("single", pa.float32(), [3.4028234663852886e38, float("-inf"), None, float("nan")]),
    ("double", pa.float64(), [5e-324, 1.7976931348623157e308, None, -0.0]),
    ("exact", pa.decimal128(38, 10), [Decimal("9" * 28 + "." + "9" * 10), Decimal("-0.0000000001"), None, Decimal(0)]),
    ("text", pa.string(), ["", "NULL", None, "naïve \U0001f4a9\n'\"\\\t"]),
    ("raw", pa.binary(), [b"", bytes(range(256)), None, b"\0"]),
    ("yes", pa.bool_(), [True, False, None, True]),
    ("on", pa.date32(), [dt.date(1, 1, 1), dt.date(9999, 12, 31), None, dt.date(1582, 10, 10)]),
    (
        "at",
        pa.timestamp("us", "UTC"),
        [
            dt.datetime(1, 1, 3, tzinfo=_UTC),
            dt.datetime(9999, 12, 30, 23, 59, 59, 999999, _UTC),
            None,
            dt.datetime(2026, 11, 1, 5, 30, tzinfo=_UTC),  # 01:30 in New York, where this hour comes twice
        ],
    ),
    (
        "local",
        pa.timestamp("us"),
        [
            dt.datetime(1, 1, 3),  # noqa: DTZ001 - it has no zone
            dt.datetime(9999, 12, 30, 23, 59, 59, 999999),  # noqa: DTZ001
            None,
            dt.datetime(2026, 3, 8, 2, 30),  # noqa: DTZ001 - an hour that New York skips
        ],
    ),
    ("many", pa.list_(pa.int64()), [[], [1, None, 2**63 - 1], None, [0]]),
    ("both", _STRUCT, [{"n": None, "text": ""}, {"n": 2**53 + 1, "text": None}, None, {"n": 0, "text": "x"}]),
    ("pairs", pa.map_(pa.string(), pa.float64()), [[], [("a", None), ("b", 0.1)], None, [("", -0.0)]]),
)
#: The names of the columns in the files, beside the key ``day`` of their folders.
NAMES: Final = ("id", *(name for name, _, _ in _COLUMNS))
#: The values of ``day``: two that would be equal as numbers, one that is no number, and NULL.
DAYS: Final = ("007", "7", "1e3", None)


def write_all_types(folder: Path) -> None:
    """Write a folder of Parquet files, one for each value of the key ``day``; they differ in ``id`` only."""
    for first, day in enumerate(DAYS):
        place = folder / f"day={'__HIVE_DEFAULT_PARTITION__' if day is None else day}"
        place.mkdir(parents=True)
        ids = pa.array(range(4 * first, 4 * first + 4), pa.int64())
        columns = {name: pa.array(values, type_) for name, type_, values in _COLUMNS}
        pq.write_table(pa.table({"id": ids, **columns}), place / "part.parquet")


def written_rows() -> dict[int, dict[str, Any]]:
    """Return the rows that `write_all_types` writes, with ``day``, by ``id`` and in the form of `comparable`."""
    rows = {}
    for first, day in enumerate(DAYS):
        for position in range(4):
            values = {name: values[position] for name, _, values in _COLUMNS}
            rows[4 * first + position] = comparable({**values, "day": day})
    return rows


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row in which equal values are equal to the bit: NaN equals itself, and 0.0 does not equal -0.0."""
    return {name: _comparable(value) for name, value in row.items()}


def _comparable(value: Any) -> Any:
    if isinstance(value, float):
        return f"float {value.hex()}"
    if isinstance(value, dt.datetime):
        return "no zone " + value.isoformat() if value.tzinfo is None else value.astimezone(_UTC).isoformat()
    if isinstance(value, (list, tuple)):
        return [_comparable(each) for each in value]
    if isinstance(value, dict):
        return comparable(value)
    return value
