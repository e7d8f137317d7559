"""Compute a file's statistics for the log of a Delta table, from the file's Parquet footer. Runs on the driver.

Readers skip a file if its statistics show that no row can match. So a bound that is not certain is left out: a missing
bound only means that the file is read. Source: https://github.com/delta-io/delta/blob/master/PROTOCOL.md, 'Per-file
Statistics'.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from sparkscore.stage.statistics import FloatStatistics, float_statistics

# Delta's default for `delta.dataSkippingNumIndexedCols`.
_COLUMNS: Final = 32
# Delta shortens longer strings to this many characters.
_PREFIX: Final = 32
_LAST_ASCII: Final = "\x7f"
_LAST_CHARACTER: Final = "\U0010ffff"
_MILLISECOND: Final = 1000

_Tree = dict[str, Any]


class _Statistics(NamedTuple):
    nulls: int
    bounds: tuple[Any, Any] | None


def stats_of(footer: pq.FileMetaData) -> str:
    """Return a file's statistics as JSON: the number of rows, and the NULL count and any bounds of each column.

    Arrays and maps have no statistics. Binary and boolean columns have only a NULL count, as in the statistics that
    Spark writes. The statistics of floats come from the file's key-value metadata, because those of Parquet ignore NaN.
    """
    schema = footer.schema.to_arrow_schema()
    floats = float_statistics(footer.metadata)
    nulls: _Tree = {}
    lowest: _Tree = {}
    highest: _Tree = {}
    for path, arrow_type, leaf in islice(_columns(schema), _COLUMNS):
        if pa.types.is_floating(arrow_type):
            found: FloatStatistics | _Statistics | None = floats.get(path[0]) if len(path) == 1 else None
        else:
            found = None if leaf is None else _of_parquet(footer, leaf, is_bounded=_is_bounded(arrow_type))
        if found is None:
            continue
        _put(nulls, path, found.nulls)
        if found.bounds is not None:
            _put(lowest, path, _lower(found.bounds[0]))
            _put(highest, path, _upper(found.bounds[1]))
    stats = {"numRecords": footer.num_rows, "minValues": lowest, "maxValues": highest, "nullCount": nulls}
    return _json(stats)


def _of_parquet(footer: pq.FileMetaData, leaf: int, *, is_bounded: bool) -> _Statistics | None:
    """Return the statistics of a Parquet column over all row groups, or None if a row group has none."""
    found = [footer.row_group(group).column(leaf).statistics for group in range(footer.num_row_groups)]
    if any(each is None or not each.has_null_count for each in found):
        return None
    filled = [each for each in found if each.num_values]
    is_known = is_bounded and filled and all(each.has_min_max for each in filled)
    bounds = (min(each.min for each in filled), max(each.max for each in filled)) if is_known else None
    return _Statistics(sum(each.null_count for each in found), bounds)


def _columns(schema: pa.Schema) -> Iterator[tuple[tuple[str, ...], pa.DataType, int | None]]:
    """Yield each column, or each field of a struct, with the number of its Parquet column (None for lists and maps).

    Parquet columns are found by their position, because a name may contain dots.
    """
    leaf = 0
    for path, arrow_type in _flat(list(schema)):
        is_leaf = not pa.types.is_nested(arrow_type)
        yield path, arrow_type, leaf if is_leaf else None
        leaf += _count_leaves(arrow_type)


def _flat(fields: Sequence[pa.Field], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], pa.DataType]]:
    for field in fields:
        path = (*above, field.name)
        if pa.types.is_struct(field.type):
            yield from _flat(list(field.type), path)
        else:
            yield path, field.type


def _count_leaves(arrow_type: pa.DataType) -> int:
    if not pa.types.is_nested(arrow_type):
        return 1
    if pa.types.is_map(arrow_type):
        return _count_leaves(arrow_type.key_type) + _count_leaves(arrow_type.item_type)
    return sum(_count_leaves(arrow_type.field(number).type) for number in range(arrow_type.num_fields))


def _is_bounded(arrow_type: pa.DataType) -> bool:
    types = pa.types
    is_number = types.is_integer(arrow_type) or types.is_decimal(arrow_type)
    return is_number or any(is_it(arrow_type) for is_it in (types.is_string, types.is_date, types.is_timestamp))


def _lower(value: Any) -> Any:
    """Return a lower bound of the given value that JSON can represent, or None if there is none."""
    if isinstance(value, str):
        return value[:_PREFIX]
    if isinstance(value, datetime):
        return _milliseconds(value)
    return _plain(value)


def _upper(value: Any) -> Any:
    """Return an upper bound of the given value that JSON can represent, or None if there is none."""
    if isinstance(value, str):
        return _upper_text(value)
    if isinstance(value, datetime):
        # Rounded up. Spark's own statistics are rounded down, and its readers add a millisecond.
        rest = value.microsecond % _MILLISECOND
        try:
            return _milliseconds(value + timedelta(microseconds=_MILLISECOND - rest)) if rest else _milliseconds(value)
        except OverflowError:  # after the year 9999
            return None
    return _plain(value)


def _upper_text(value: str) -> str | None:
    """Return an upper bound of a string, shortened like Delta's own bounds, or None if there is none.

    A long string is cut, and a character that sorts above the first one that was cut off is appended.
    """
    if len(value) <= _PREFIX:
        return value
    if value[_PREFIX] < _LAST_ASCII:
        return value[:_PREFIX] + _LAST_ASCII
    return value[:_PREFIX] + _LAST_CHARACTER if value[_PREFIX] < _LAST_CHARACTER else None


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value.isoformat() if isinstance(value, date) else value


def _milliseconds(value: datetime) -> str:
    return f"{value.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _put(tree: _Tree, path: tuple[str, ...], value: Any) -> None:
    if value is None:
        return
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value


def _json(value: Any) -> str:
    # The json module could write all digits of a Decimal only as a string, not as a number.
    if isinstance(value, dict):
        return (
            "{"
            + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{_json(each)}" for name, each in value.items())
            + "}"
        )
    return format(value, "f") if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)
