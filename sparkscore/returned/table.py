"""Convert the value returned by a scoring script's ``run()`` to a typed Arrow table. Runs on the workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import OutputContractError, names
from sparkscore.returned.coercion import coerce
from sparkscore.returned.forms import Form, Objects, Vector, open_values
from sparkscore.returned.inference import infer_type
from sparkscore.returned.nulls import refuse_nulls
from sparkscore.returned.plain import tabulate_plain
from sparkscore.returned.refusal import STATE
from sparkscore.returned.shapes import (
    PREDICTION,
    Columns,
    are_positions,
    check_names,
    column_error,
    columns_of_matrix,
    find_columns,
    positional_names,
    refuse_numbers,
)
from sparkscore.returned.value_types import describe

_FRAMES: Final = (pd.DataFrame, pa.Table, pa.RecordBatch)
_EXTENSION: Final = pd.api.extensions.ExtensionArray  # the type of a Series' ``.array``, and often of its ``.values``
_LISTS: Final = (list, tuple, pd.Series, pd.Index, _EXTENSION, pa.Array, pa.ChunkedArray, Iterator)
_ADVICE: Final = "Return one element per item, or a DataFrame; wrap a single value in a list."
_DICT_ADVICE: Final = "Return a table of it, pd.DataFrame(returned), or one element per item."
_LENGTHS: Final = frozenset(
    container.__len__ for container in (list, tuple, pd.DataFrame, pd.Series, pd.Index, pa.Array, pa.ChunkedArray)
)


@dataclass(frozen=True)
class NamedColumns:
    """Named values returned by a model, for example several outputs or the columns of a DataFrame.

    Attributes:
        columns: the values by name. Each collection of values (an array, a list, a Series) must have one value per
            item.
        labels: the index of a returned pandas object, used to check the order of its rows, or None.
    """

    columns: Mapping[str, Any]
    labels: pd.Index[Any] | None = None


@dataclass(frozen=True)
class Returned:
    """The value returned by ``run()``, converted to a table.

    Attributes:
        table: the rows, with the schema's types if there is a schema.
        elements: the number of returned elements, for example rows of a DataFrame or entries of a list.
        is_frame: whether ``run()`` returned a DataFrame, an Arrow table or an Arrow record batch.
    """

    table: pa.Table
    elements: int
    is_frame: bool


def count_elements(returned: Any) -> int | None:
    """Return the number of elements that ``run()`` returned, or None if it is not known.

    For example, the length of an iterator is not known before it is consumed.
    """
    if isinstance(returned, (pa.Table, pa.RecordBatch)):
        return int(returned.num_rows)
    if isinstance(returned, np.ndarray):
        return len(returned) if returned.ndim else None
    # A user-defined `__len__` may raise an error or return a wrong number.
    return len(returned) if getattr(type(returned), "__len__", None) in _LENGTHS else None


def tabulate(returned: Any, schema: pa.Schema | None = None) -> Returned:
    """Convert the value returned by ``run()`` to a table.

    The value is usually a DataFrame, or a list or array with one element per row.

    Without a schema, names and types are inferred:

    - Scalars, and lists of one type, form the column ``prediction``.
    - Tuples, lists of several types, and DataFrames without column names form the columns ``c0``, ``c1`` and so on.
    - The columns of other DataFrames, of dictionaries and of structured arrays keep their names.

    With a schema, named columns are matched by name, and unnamed ones by position:

    - In `NamedColumns` and structured arrays, a column whose name is not in the schema is matched by position with the
      declared columns that are left. In other values, such a column is an error.
    - Only dictionaries may lack columns of the schema, and only optional ones.
    - An empty list or array becomes an empty table.

    An iterator is consumed, and its exceptions are not caught. Other values are not modified, and the table does not
    share memory with a returned NumPy array.

    Raises:
        OutputContractError: the value cannot be converted. The code gives the reason:

            - ``OUTPUT_KIND``: it is not a list, an array, a DataFrame or the like.
            - ``OUTPUT_SHAPE``: its elements have different shapes.
            - ``OUTPUT_COLUMNS``: its columns are wrong.
            - ``OUTPUT_TYPE``: a value has the wrong type.
            - ``OUTPUT_ALL_NULL``: a type cannot be inferred because all values, or all values inside lists or
              dictionaries, are NULL.
            - ``OUTPUT_NULL``: a value is NULL where the schema does not allow it.
    """
    plain = None if schema is None else tabulate_plain(returned, schema)
    if plain is not None:
        return Returned(plain, plain.num_rows, is_frame=False)
    if isinstance(returned, NamedColumns):
        columns = _columns_of_named(returned, schema)
        return Returned(_build(columns, schema), columns.count, is_frame=False)
    if isinstance(returned, _FRAMES):
        columns = _columns_of_frame(returned, schema)
        return Returned(_build(columns, schema), columns.count, is_frame=True)
    if not _has_elements(returned):
        raise _wrong_type(returned)
    if isinstance(returned, np.ndarray) and returned.dtype.names:
        return tabulate(NamedColumns({name: returned[name] for name in returned.dtype.names}), schema)
    form = open_values(returned)
    columns = find_columns(form, schema)
    if not columns.count:
        columns = Columns(None, [], 0)  # the type of an empty array says nothing: np.array([]) is double
    return Returned(_build(columns, schema), columns.count, is_frame=False)


def _has_elements(returned: Any) -> bool:
    """Return whether a value is a collection of elements, for example a list, an array, a Series or an iterator.

    DataFrames and tables do not count, because they have rows instead of elements. Neither do strings, dictionaries,
    sets and zero-dimensional arrays.
    """
    if isinstance(returned, np.ndarray):
        return bool(returned.ndim)
    return isinstance(returned, _LISTS)


def _columns_of_frame(frame: Any, schema: pa.Schema | None) -> Columns:
    if isinstance(frame, pd.DataFrame):
        found, count = list(frame.columns), len(frame)
        values: list[Any] = [frame.iloc[:, index] for index in range(len(found))]
        if are_positions(found):
            # Unnamed columns are like tuples: they are matched with declared columns by position.
            forms = [open_values(column) for column in values]
            return Columns(positional_names(len(found)) if schema is None else None, forms, count)
        refuse_numbers(found)
    else:
        found, count = frame.schema.names, frame.num_rows
        values = list(frame.columns)
    if found or count:
        check_names(found)
    return Columns(found, [open_values(column) for column in values], count)


def _columns_of_named(named: NamedColumns, schema: pa.Schema | None) -> Columns:
    found = list(named.columns)
    check_names(found)
    for name, values in named.columns.items():
        if not _has_elements(values):
            raise column_error(
                f"output '{name}' of the model",
                got=describe(values),
                expected="a list or an array, with a value for each item",
                next_step="Let the model return one value for each item, even if all values are the same.",
            )
    forms = [open_values(values) for values in named.columns.values()]
    counts = [len(form.data if isinstance(form, Vector) else _items_of(form)) for form in forms]
    if len(set(counts)) > 1:
        raise column_error(
            "the model's outputs",
            got=f"{min(counts)} to {max(counts)} values",
            expected="the same number of values in each, one per item",
            next_step="Correct the model, so that each output has one value per item.",
        )
    if schema is None:
        return Columns(found, forms, counts[0])
    return _columns_as_declared(dict(zip(found, forms, strict=True)), schema, counts[0])


def _columns_as_declared(forms: dict[str, Form], schema: pa.Schema, count: int) -> Columns:
    """Match a model's outputs with the declared columns.

    An output with a declared column's name becomes that column. The other outputs become the remaining declared columns
    in order, with matrices split into columns. A deployment can thus declare one column for the probability of each
    class.
    """
    declared = {field.name: field.type for field in schema}
    columns = {name: _flat(form, declared[name]) for name, form in forms.items() if name in declared}
    left = [name for name in declared if name not in columns]
    others = [name for name in forms if name not in declared]
    parts = [part for name in others for part in _parts_of(forms[name])]
    if len(parts) != len(left):
        raise _undeclared(others, left, list(columns), len(parts))
    columns |= dict(zip(left, parts, strict=True))
    return Columns(list(columns), list(columns.values()), count)


def _undeclared(others: list[str], left: list[str], taken: list[str], count: int) -> OutputContractError:
    """Return the error for a model whose outputs have more or fewer columns than the deployment declares.

    Args:
        others: names of the outputs that have no declared column of the same name.
        left: names of the declared columns that have no output of the same name.
        taken: names of the declared columns that have an output of the same name.
        count: the total number of columns of the outputs in ``others``. An output may have several.
    """
    besides = f" besides {names(taken)}" if taken else ""
    one_each = f", one for each of {names(left)}" if left else ""
    return column_error(
        "the model's outputs",
        got=f"{count} value(s) each{besides}",
        expected=f"{len(left)}{one_each}" + (f"; not declared: {names(others)}" if others else ""),
        next_step="Declare exactly these columns with 'output.schema', or leave it out.",
    )


def _items_of(form: Form) -> Any:
    return form.items if isinstance(form, Objects) else form


def _flat(form: Form, type_: pa.DataType) -> Form:
    """Convert a one-column matrix to that column, unless ``type_``, the column's type, is a list.

    Any other form is returned unchanged.
    """
    if pa.types.is_list(type_) or (isinstance(form, Vector) and form.data.ndim != 2):  # noqa: PLR2004 - a matrix
        return form
    parts = _parts_of(form)
    return parts[0] if len(parts) == 1 else form


def _parts_of(form: Form) -> list[Form]:
    """Split a matrix into its columns. Any other form is returned as the only element of a list."""
    if isinstance(form, Vector):
        return columns_of_matrix(form) if form.data.ndim > 1 else [form]
    items = form.items if isinstance(form, Objects) else []
    # A matrix of strings is an `Objects` whose values are the rows.
    widths = {len(item) if isinstance(item, np.ndarray) and item.ndim == 1 else 0 for item in items}
    if len(widths) != 1 or 0 in widths:
        return [form]
    return [Objects([item[index] for item in items]) for index in range(widths.pop())]


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


def _wrong_type(returned: Any) -> OutputContractError:
    return OutputContractError(
        code=ErrorCode.OUTPUT_KIND,
        what="run()",
        got="None" if returned is None else describe(returned),
        expected="a list, tuple, NumPy array, pandas Series or DataFrame, Arrow array or table, or an iterator",
        state=STATE,
        next_step=_DICT_ADVICE if isinstance(returned, dict) else _ADVICE,
    )
