"""Check that result rows are in the order of the mini-batch. Runs on the workers, also in child processes.

Carried columns are added to the result by position. If a script returned its rows in a different order, rows would get
the carried values of other rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import OutputContractError
from sparkscore.returned import NamedColumns
from sparkscore.scorers.frames import HandedOver
from sparkscore.worker.moved_rows import moved_how

Positions = npt.NDArray[np.intp]

_EXPECTED = "the order of the mini-batch, since input columns are carried into the result by position"


def refuse_other_order(returned: object, rows: pa.Table | None, handed: HandedOver | None, caller: str) -> None:
    """Raise an error if a result is, or seems to be, in a different order than the mini-batch.

    The result must have one element per row. The index of a returned Series or DataFrame may prove its order.
    Otherwise, the DataFrame that was passed to the user's code is checked for rows that were moved in place.

    Args:
        returned: value that the user's code returned.
        rows: the mini-batch's rows, or None if the items are files.
        handed: the DataFrame that was passed to the user's code, or None.
        caller: name of the function or model that returned the value, for messages; for example ``run()``.

    Raises:
        OutputContractError: the index shows a different order, its labels are unrelated to the mini-batch, or the
            user's code moved, added or removed rows in place (code ``OUTPUT_ORDER``).
    """
    labels = _labels_of(returned)
    current = None if handed is None else handed.frame.index
    if labels is not None and rows is not None and _prove_order(labels, rows, current, caller):
        return
    how = None if handed is None else moved_how(handed)
    if how is not None:
        raise OutputContractError(
            code=ErrorCode.OUTPUT_ORDER,
            what=f"{caller} changed the order of its rows in place",
            got=how,
            expected=_EXPECTED,
            next_step="Sort or filter a copy (without inplace=True) and return the results in the order of the "
            "mini-batch, or set 'output.carry: []' and return a DataFrame with a key column.",
        )


def _labels_of(returned: object) -> pd.Index[Any] | None:
    """Return the index of a returned Series, DataFrame or `NamedColumns`, or None for any other value."""
    if isinstance(returned, (pd.Series, pd.DataFrame)):
        return returned.index
    return returned.labels if isinstance(returned, NamedColumns) else None


def _prove_order(labels: pd.Index[Any], rows: pa.Table, current: pd.Index[Any] | None, caller: str) -> bool:
    """Return whether a result's index proves that its rows are in the order of the mini-batch.

    A default RangeIndex that is not named after an input column proves nothing, because pandas may also create one when
    rows are reordered. Labels that are unrelated to the mini-batch but equal to `current` prove nothing either.

    Args:
        labels: the index of the result.
        rows: the mini-batch's rows.
        current: the index of the DataFrame that was passed to the user's code, after the code ran. None if the code got
            no DataFrame.
        caller: name of the function or model that returned the value, for messages; for example ``run()``.

    Raises:
        OutputContractError: the labels show a different order, or are unrelated to the mini-batch and to `current`.
    """
    own = pd.RangeIndex(len(labels))
    name = labels.name if labels.name in rows.column_names else None
    if name is None and isinstance(labels, pd.RangeIndex) and labels.equals(own):
        return False
    found = list(_positions_in_columns(labels, rows))
    # If the index is named after a column, that column's values decide. Otherwise, the mini-batch's row numbers decide,
    # if the labels are these numbers.
    of_own = _positions(labels, own)
    first = [positions for column, positions in found if column == name]
    for positions in [*first, *([] if of_own is None else [of_own])]:
        if _is_in_order(positions):
            return True
        raise _other_order(caller)
    if any(_is_in_order(positions) for _, positions in found):
        return True
    if found:
        raise _other_order(caller)
    if current is not None and len(current) == len(labels) and labels.equals(current):
        return False
    raise _unrelated(caller)


def _positions_in_columns(labels: pd.Index[Any], rows: pa.Table) -> Iterator[tuple[object, Positions]]:
    """Find the input columns that contain exactly the labels of a result's index, in any order.

    Yields each such column's name, along with the row number of each label. Nested and boolean columns, and columns
    with repeated values, are skipped. A MultiIndex is compared with the columns named after its levels. If these match,
    None is yielded instead of a column name.
    """
    if isinstance(labels, pd.MultiIndex):
        if set(labels.names) <= set(rows.column_names):
            columns = [rows.column(str(level)).to_pandas() for level in labels.names]
            positions = _positions_among(labels, pd.MultiIndex.from_arrays(columns))
            if positions is not None:
                yield None, positions
        return
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if not (pa.types.is_nested(column.type) or pa.types.is_boolean(column.type)):
            positions = _positions(labels, pd.Index(column.to_pandas()))
            if positions is not None:
                yield name, positions


def _positions(labels: pd.Index[Any], reference: pd.Index[Any]) -> Positions | None:
    """Return the position of each label in a reference index.

    Labels are compared by equality, then as strings. If the labels are strings and the reference index is numeric, they
    are also compared as numbers. Return None if the labels and the values of the reference index do not match one to
    one, or if the labels are a MultiIndex.
    """
    if isinstance(labels, pd.MultiIndex):
        return None
    if isinstance(labels, pd.CategoricalIndex):
        labels = labels.astype(labels.categories.dtype)
    found = _positions_among(labels, reference)
    if found is None:
        found = _positions_among(labels.astype(str), reference.astype(str))
    if found is None and labels.inferred_type == "string" and pd.api.types.is_numeric_dtype(reference.dtype):
        numbers = pd.to_numeric(pd.Series(labels), errors="coerce")
        found = _positions_among(pd.Index(numbers), reference)
    return found


def _positions_among(labels: pd.Index[Any], reference: pd.Index[Any]) -> Positions | None:
    """Return the position of each label in a reference index.

    Return None if the labels and the values of the reference index do not match one to one.
    """
    try:
        if not reference.is_unique:
            return None
        found = reference.get_indexer(labels)
    except (TypeError, ValueError, pa.ArrowException):  # values that cannot be compared
        return None
    return found if np.array_equal(np.sort(found), np.arange(len(reference))) else None


def _is_in_order(positions: Positions) -> bool:
    return np.array_equal(positions, np.arange(len(positions)))


def _other_order(caller: str) -> OutputContractError:
    return OutputContractError(
        code=ErrorCode.OUTPUT_ORDER,
        what=f"{caller} returned pandas rows in another order",
        got="the labels of the mini-batch in another order",
        expected=_EXPECTED,
        next_step="Return the rows in the order of the mini-batch: result.sort_index() for its own labels, "
        "result.loc[mini_batch['KEY']] for those of a column; or result.reset_index(drop=True) if the order is right.",
    )


def _unrelated(caller: str) -> OutputContractError:
    return OutputContractError(
        code=ErrorCode.OUTPUT_ORDER,
        what=f"{caller} returned pandas rows whose order is not known",
        got="labels that are neither those of the mini-batch nor those of one of its columns without repeated values",
        expected=_EXPECTED,
        next_step="Return result.reset_index(drop=True) if the order is right, or set 'output.carry: []' and return a "
        "DataFrame with a key column.",
    )
