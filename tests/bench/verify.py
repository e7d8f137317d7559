"""Compare the result of a side with that of the limit: the same rows, the same values. Fast and wrong is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

# Libraries add the trees and layers of a model in different orders; floats of 32 bits then differ in their last digits.
TOLERANCE: Final = 1e-5


@dataclass(frozen=True)
class Verdict:
    """What a comparison found.

    Attributes:
        is_right: whether rows and values are those of the limit.
        text: the same in words: "equal to the bit", "within ...", or what is wrong.
    """

    is_right: bool
    text: str


def read_result(folder: Path, output_format: str, columns: Sequence[str]) -> pa.Table:
    """Return some columns of a result, sorted by id."""
    return _open(folder, output_format).to_table(columns=list(columns)).sort_by("id")


def count_rows(folder: Path, output_format: str) -> int:
    """Return the number of rows of a result."""
    return int(_open(folder, output_format).count_rows())


def _open(folder: Path, output_format: str) -> ds.Dataset:
    if output_format == "delta":
        return DeltaTable(folder).to_pyarrow_dataset()
    files = [str(path) for path in sorted(folder.rglob("*.parquet")) if not _is_hidden(path.relative_to(folder))]
    return ds.dataset(files, format="parquet")


def compare(result: pa.Table, limit: pa.Table) -> Verdict:
    """Compare a result with that of the limit, both sorted by id."""
    if result.num_rows != limit.num_rows:
        return Verdict(is_right=False, text=f"{result.num_rows:,} rows instead of {limit.num_rows:,}")
    for name in limit.column_names:
        if name != "prediction" and not _are_equal(result.column(name), limit.column(name)):
            return Verdict(is_right=False, text=f"column '{name}' differs")
    return compare_values(_floats(result.column("prediction")), _floats(limit.column("prediction")))


def compare_values(values: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]) -> Verdict:
    """Compare predictions; NaN is equal to NaN."""
    if np.array_equal(values, wanted, equal_nan=True):
        return Verdict(is_right=True, text="equal to the bit")
    if not np.array_equal(np.isnan(values), np.isnan(wanted)):
        return Verdict(is_right=False, text=f"{int((np.isnan(values) != np.isnan(wanted)).sum()):,} values are missing")
    distance = float(np.nanmax(np.abs(values - wanted) / np.maximum(1.0, np.abs(wanted))))
    if distance <= TOLERANCE:
        return Verdict(is_right=True, text=f"within {distance:.0e}")
    return Verdict(is_right=False, text=f"values differ by up to {distance:.0e}")


def _are_equal(column: pa.ChunkedArray, wanted: pa.ChunkedArray) -> bool:
    try:
        return bool(pc.cast(column, wanted.type).combine_chunks().equals(wanted.combine_chunks()))
    except pa.ArrowInvalid:
        return False


def _floats(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    values: npt.NDArray[Any] = column.to_numpy()
    return values.astype(np.float64)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(("_", ".")) for part in path.parts)
