"""Turn what a scoring script's ``run()`` returned into a typed Arrow table; runs on workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from sparkscore.errors import OutputContractError, names
from sparkscore.signature.coercion import coerce
from sparkscore.signature.forms import Form, open_values
from sparkscore.signature.inference import infer_type
from sparkscore.signature.kinds import describe
from sparkscore.signature.nulls import refuse_nulls
from sparkscore.signature.refusal import STATE
from sparkscore.signature.shapes import PREDICTION, Columns, check_names, column_error, find_columns

_FRAMES: Final = (pd.DataFrame, pa.Table, pa.RecordBatch)
_LISTS: Final = (list, tuple, pd.Series, pd.Index, pa.Array, pa.ChunkedArray, Iterator)


@dataclass(frozen=True)
class Returned:
    """What ``run()`` returned, as a table.

    Attributes:
        table: the rows, with the schema's types where there is one.
        elements: how many elements came back: rows of a frame, or entries of a list.
        is_frame: a DataFrame or Arrow table came back, which may have any number of rows.
    """

    table: pa.Table
    elements: int
    is_frame: bool


def tabulate(returned: Any, schema: pa.Schema | None = None) -> Returned:
    """Turn what ``run()`` returned into a table.

    Without ``schema`` the columns' names and types are found: a scalar or an array of one kind is ``prediction``, a
    tuple or mixed list is ``c0, c1 …``, a dict has its keys. With it, columns are taken by name (dicts, frames) or by
    position (tuples), and nothing but the schema's columns is accepted. An iterator is consumed, once, and what it
    raises passes. ``returned`` is not changed, and the table shares no memory with a NumPy array.

    Raises:
        OutputContractError: codes ``OUTPUT_KIND``, ``OUTPUT_SHAPE``, ``OUTPUT_COLUMNS``, ``OUTPUT_TYPE``,
            ``OUTPUT_ALL_NULL``, ``OUTPUT_NULL``.
    """
    if isinstance(returned, _FRAMES):
        columns = _columns_of_frame(returned)
        return Returned(_build(columns, schema), columns.count, is_frame=True)
    is_array = isinstance(returned, np.ndarray) and returned.ndim > 0
    if not (is_array or isinstance(returned, _LISTS)):
        raise _wrong_kind(returned)
    form = open_values(returned)
    columns = find_columns(form, schema)
    if not columns.count:
        columns = Columns(None, [], 0)  # an empty array's type is chance: np.array([]) is double
    return Returned(_build(columns, schema), columns.count, is_frame=False)


def _columns_of_frame(frame: Any) -> Columns:
    if isinstance(frame, pd.DataFrame):
        found, count = list(frame.columns), len(frame)
        values: list[Any] = [frame.iloc[:, index] for index in range(len(found))]
    else:
        found, count = frame.schema.names, frame.num_rows
        values = list(frame.columns)
    if found or count:
        check_names(found)
    return Columns(found, [open_values(column) for column in values], count)


def _build(columns: Columns, schema: pa.Schema | None) -> pa.Table:
    if not columns.forms and not columns.count:
        return pa.schema([]).empty_table() if schema is None else schema.empty_table()
    if schema is None:
        return _build_inferred(columns)
    forms = _forms_in_order(columns, schema)
    arrays = [coerce(form, field.type, field.name) for form, field in zip(forms, schema, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=schema)
    refuse_nulls(table)
    return table


def _build_inferred(columns: Columns) -> pa.Table:
    found = columns.names or [PREDICTION]
    arrays = [coerce(form, infer_type(form, name), name) for form, name in zip(columns.forms, found, strict=True)]
    return pa.Table.from_arrays(arrays, names=found)


def _forms_in_order(columns: Columns, schema: pa.Schema) -> list[Form]:
    if columns.names is None:
        if len(columns.forms) != len(schema):
            raise column_error(
                "the elements",
                got=f"{len(columns.forms)} value(s) each",
                expected=f"{len(schema)}, one per column: {names(schema.names)}",
            )
        return columns.forms
    by_name = dict(zip(columns.names, columns.forms, strict=True))
    lacking, extra = set(schema.names) - by_name.keys(), by_name.keys() - set(schema.names)
    if lacking or extra:
        parts = [f"no {names(lacking)}"] if lacking else []
        raise column_error(
            "the columns",
            got=" and ".join([*parts, f"also {names(extra)}"] if extra else parts),
            expected=f"exactly {names(schema.names)}",
        )
    return [by_name[name] for name in schema.names]


def _wrong_kind(returned: Any) -> OutputContractError:
    return OutputContractError(
        code="OUTPUT_KIND",
        what="run()",
        got="None" if returned is None else describe(returned),
        expected="a list, tuple, NumPy array, pandas Series or DataFrame, Arrow array or table, or an iterator",
        state=STATE,
        next_step="Return one element per item, or a DataFrame; wrap a single value in a list.",
    )
