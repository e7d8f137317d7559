"""Refuse results whose rows are not known to be in the order of the mini-batch (worker, child).

Carried columns are joined by position, so rows in another order would stand beside values of other rows.
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

Places = npt.NDArray[np.intp]

_EXPECTED = "the order of the mini-batch, since input columns are carried into the result by position"


def refuse_other_order(returned: object, rows: pa.Table | None, handed: HandedOver | None, caller: str) -> None:
    """Refuse a result with one element for each row that is in another order, as far as that can be known.

    The labels of pandas rows tell it, and so does the DataFrame that was handed over, when its rows were moved.

    Args:
        returned: what came back.
        rows: the mini-batch.
        handed: the DataFrame that the user's code got; None where it got none.
        caller: what returned it, in words.

    Raises:
        OutputContractError: code ``OUTPUT_ORDER``.
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
            next_step="Sort or filter a copy (without inplace=True) and give the results in the order of the "
            "mini-batch, or set 'output.carry: []' and return a DataFrame with a key of its own.",
        )


def _labels_of(returned: object) -> pd.Index[Any] | None:
    if isinstance(returned, (pd.Series, pd.DataFrame)):
        return returned.index
    return returned.labels if isinstance(returned, NamedColumns) else None


def _prove_order(labels: pd.Index[Any], rows: pa.Table, current: pd.Index[Any] | None, caller: str) -> bool:
    """Tell whether labels say that the rows are in order; a fresh index from 0 says nothing."""
    own = pd.RangeIndex(len(labels))
    name = labels.name if labels.name in rows.column_names else None
    if name is None and isinstance(labels, pd.RangeIndex) and labels.equals(own):
        return False
    found = list(_places_in_columns(labels, rows))
    # A column's name beside the labels says whose they are; without it, the mini-batch's own come first.
    of_own = _places(labels, own)
    first = [places for column, places in found if column == name]
    for places in [*first, *([] if of_own is None else [of_own])]:
        if _is_in_order(places):
            return True
        raise _other_order(caller)
    if any(_is_in_order(places) for _, places in found):
        return True
    if found:
        raise _other_order(caller)
    if current is not None and len(current) == len(labels) and labels.equals(current):
        return False
    raise _unrelated(caller)


def _places_in_columns(labels: pd.Index[Any], rows: pa.Table) -> Iterator[tuple[object, Places]]:
    """Give the columns without a value twice whose values the labels are, and where each label stands there."""
    if isinstance(labels, pd.MultiIndex):
        if set(labels.names) <= set(rows.column_names):
            columns = [rows.column(str(level)).to_pandas() for level in labels.names]
            places = _places_among(labels, pd.MultiIndex.from_arrays(columns))
            if places is not None:
                yield None, places
        return
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if not (pa.types.is_nested(column.type) or pa.types.is_boolean(column.type)):
            places = _places(labels, pd.Index(column.to_pandas()))
            if places is not None:
                yield name, places


def _places(labels: pd.Index[Any], reference: pd.Index[Any]) -> Places | None:
    """Find each label among unique values, as the same value, the same text, or the text of a number."""
    if isinstance(labels, pd.MultiIndex):
        return None
    if isinstance(labels, pd.CategoricalIndex):
        labels = labels.astype(labels.categories.dtype)
    found = _places_among(labels, reference)
    if found is None:
        found = _places_among(labels.astype(str), reference.astype(str))
    if found is None and labels.inferred_type == "string" and pd.api.types.is_numeric_dtype(reference.dtype):
        numbers = pd.to_numeric(pd.Series(labels), errors="coerce")
        found = _places_among(pd.Index(numbers), reference)
    return found


def _places_among(labels: pd.Index[Any], reference: pd.Index[Any]) -> Places | None:
    try:
        if not reference.is_unique:
            return None
        found = reference.get_indexer(labels)
    except (TypeError, ValueError, pa.ArrowException):  # values that cannot be compared
        return None
    return found if np.array_equal(np.sort(found), np.arange(len(reference))) else None


def _is_in_order(places: Places) -> bool:
    return np.array_equal(places, np.arange(len(places)))


def _other_order(caller: str) -> OutputContractError:
    return OutputContractError(
        code=ErrorCode.OUTPUT_ORDER,
        what=f"{caller} returned pandas rows in another order",
        got="the labels of the mini-batch, mixed",
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
        "DataFrame with a key of its own.",
    )
