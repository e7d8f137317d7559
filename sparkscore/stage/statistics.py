"""Choose which columns of a staged file have statistics, and compute the statistics of float columns.

Runs on the workers and the driver.

Parquet's statistics of floats ignore NaN, but Spark sorts NaN above all numbers. For a filter such as ``score > 0.9``,
Spark's Parquet reader would skip a file if all its numbers are too small, although its rows with NaN match the filter.
Staged files therefore have no Parquet statistics for floats. The statistics of floats that the log of a Delta table
needs are stored in the file's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

_KEY: Final = "sparkscore.floats"


@dataclass(frozen=True)
class FloatStatistics:
    """The statistics of a column of floats.

    Attributes:
        nulls: number of NULLs.
        bounds: the smallest and the largest value, or None if there is a NaN or no value.
    """

    nulls: int
    bounds: tuple[float, float] | None


class FloatColumns:
    """Computes the statistics of the float columns of a file. Floats nested in other columns are left out.

    Args:
        schema: the columns of the file.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._nulls = {field.name: 0 for field in schema if pa.types.is_floating(field.type)}
        self._bounds: dict[str, tuple[float, float]] = {}
        self._with_nan: set[str] = set()

    def add(self, rows: pa.Table) -> None:
        """Add rows of the file to the statistics."""
        for name in self._nulls:
            column = rows.column(name)
            self._nulls[name] += column.null_count
            if name in self._with_nan or column.null_count == len(column):
                continue
            if pc.any(pc.is_nan(column)).as_py():
                self._with_nan.add(name)
                continue
            found = pc.min_max(column)
            lowest, highest = self._bounds.get(name, (float("inf"), float("-inf")))
            self._bounds[name] = min(lowest, found["min"].as_py()), max(highest, found["max"].as_py())

    def metadata(self) -> dict[str, str]:
        """Return the statistics as an entry for the file's metadata, from which `float_statistics` reads them."""
        found = {
            name: {"nulls": nulls, "bounds": None if name in self._with_nan else self._bounds.get(name)}
            for name, nulls in self._nulls.items()
        }
        return {_KEY: json.dumps(found)}


def float_statistics(metadata: Mapping[bytes, bytes] | None) -> dict[str, FloatStatistics]:
    """Return the statistics of float columns from a file's metadata, keyed by column name.

    The result is empty if the metadata has no statistics, for example if an earlier version of sparkscore wrote the
    file.
    """
    try:
        found = json.loads((metadata or {})[_KEY.encode()])
        return {name: _statistics(each) for name, each in found.items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _statistics(found: Mapping[str, Any]) -> FloatStatistics:
    bounds = found["bounds"]
    return FloatStatistics(int(found["nulls"]), None if bounds is None else (float(bounds[0]), float(bounds[1])))


def paths_with_statistics(schema: pa.Schema) -> list[str]:
    """Return the paths of the Parquet columns that may have statistics: all but those of floats."""
    leaves = (leaf for field in schema for leaf in _leaves(field.name, field.type))
    return [path for path, arrow_type in leaves if not pa.types.is_floating(arrow_type)]


def _leaves(path: str, arrow_type: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
    """Yield the path and the type of each Parquet column that a column consists of.

    Source: https://github.com/apache/parquet-format/blob/master/LogicalTypes.md#nested-types
    """
    if pa.types.is_struct(arrow_type):
        for field in arrow_type:
            yield from _leaves(f"{path}.{field.name}", field.type)
    elif pa.types.is_map(arrow_type):
        yield from _leaves(f"{path}.key_value.key", arrow_type.key_type)
        yield from _leaves(f"{path}.key_value.value", arrow_type.item_type)
    elif pa.types.is_nested(arrow_type):
        yield from _leaves(f"{path}.list.element", arrow_type.value_type)
    else:
        yield path, arrow_type.value_type if pa.types.is_dictionary(arrow_type) else arrow_type
