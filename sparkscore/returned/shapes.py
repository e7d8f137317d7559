"""Split the elements returned by ``run()`` (scalars, arrays, tuples or dictionaries) into columns.

Runs on the workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import OutputContractError, names
from sparkscore.returned import value_types
from sparkscore.returned.forms import Form, Objects, Vector
from sparkscore.returned.objects import keys_difference
from sparkscore.returned.refusal import STATE
from sparkscore.returned.value_types import PLAIN_CLASSES, class_name, describe, is_missing, is_nan, value_type_of_class
from sparkscore.signature.model_signature import is_optional
from sparkscore.signature.same_name import keys_of

#: The name of a result's only column if the column is unnamed.
PREDICTION: Final = "prediction"
_SCALAR: Final = "a scalar"
_LIST: Final = "a list"
_TUPLE: Final = "a tuple"
_DICT: Final = "a dict"
_SHAPES: Final[dict[type, str]] = {tuple: _TUPLE, dict: _DICT, list: _LIST}
_NEVER_NAN: Final = PLAIN_CLASSES - {float}
_COLUMNS_ADVICE: Final = (
    "Return exactly these columns from each call, or declare the columns that you return in 'output.schema'."
)


@dataclass(frozen=True)
class Columns:
    """Columns of equal length, split from the returned values but not yet converted to Spark types.

    Attributes:
        names: the column names, or None if the columns are unnamed.
        forms: the values of each column.
        count: the number of rows.
    """

    names: list[str] | None
    forms: list[Form]
    count: int


def column_error(what: str, *, got: str, expected: str, next_step: str = _COLUMNS_ADVICE) -> OutputContractError:
    """Return the error for a value with wrong columns or column names (code ``OUTPUT_COLUMNS``)."""
    return OutputContractError(
        code=ErrorCode.OUTPUT_COLUMNS, what=what, got=got, expected=expected, state=STATE, next_step=next_step
    )


def find_columns(form: Form, schema: pa.Schema | None) -> Columns:
    """Split the returned values into columns.

    A list may be either one value of an array column, or a row with one value per column. With a schema, the schema
    decides. Without one, lists are rows if any of them mixes types, for example strings and numbers. Otherwise they are
    values of an array column.

    Raises:
        OutputContractError: the values have different shapes (code ``OUTPUT_SHAPE``), or their lengths, keys or names
            do not form columns (code ``OUTPUT_COLUMNS``).
    """
    if isinstance(form, Objects):
        return _columns_of_objects(form, schema)
    if isinstance(form, Vector):
        if form.data.ndim > 1 and not takes_lists(schema):
            return Columns(None, columns_of_matrix(form), len(form.data))
        return Columns(None, [form], len(form.data))
    if pa.types.is_struct(form.type):
        found = [field.name for field in form.type]
        check_names(found)
        return Columns(found, form.flatten(), len(form))
    return Columns(None, [form], len(form))


def takes_lists(schema: pa.Schema | None) -> bool:
    """Return whether the schema allows a returned list to be a single value rather than a row.

    This is the case if there is no schema, or if the schema's only column is an array column.
    """
    return schema is None or (len(schema) == 1 and pa.types.is_list(schema.field(0).type))


def columns_of_matrix(matrix: Vector) -> list[Form]:
    """Return the columns of a matrix, each as a `Vector`."""
    masks = [None if matrix.mask is None else matrix.mask[:, index] for index in range(matrix.data.shape[1])]
    return [Vector(matrix.data[:, index], mask, matrix.is_utc) for index, mask in enumerate(masks)]


def _columns_of_objects(objects: Objects, schema: pa.Schema | None) -> Columns:
    shape = _common_shape(objects)
    if shape is None:
        return _columns_of_nulls(len(objects.items), schema)
    if shape == _SCALAR:
        return Columns(None, [objects], len(objects.items))
    items = objects.items
    if not set(map(type, items)) <= _NEVER_NAN:
        items = [None if is_missing(item) or is_nan(item) else item for item in items]
    if shape == _DICT:
        if _are_maps(items, schema):
            return Columns(None, [Objects(items)], len(items))
        # A field that an MLflow signature declares optional may be missing from any dict. It is then NULL.
        absent = dict.fromkeys(field.name for field in schema or () if is_optional(field))
        return _columns_of_dicts([None if item is None else {**absent, **item} for item in items] if absent else items)
    if shape == _LIST and takes_lists(schema) and (schema is not None or all(map(_is_homogeneous, items))):
        return Columns(None, [Objects(items)], len(items))
    return _columns_of_rows(items, None if schema is None else len(schema))


def _columns_of_nulls(count: int, schema: pa.Schema | None) -> Columns:
    nulls: Form = Objects([None] * count)
    return Columns(None, [nulls] * (1 if schema is None else len(schema)), count)


def _common_shape(objects: Objects) -> str | None:
    """Return the shape of all elements (scalar, list, tuple or dictionary), or None if all are NULL.

    NULLs have no shape. If a pandas object column has only lists, tuples or dictionaries besides NaN, NaN counts as
    NULL.

    Raises:
        OutputContractError: two elements have different shapes (code ``OUTPUT_SHAPE``).
    """
    # Most lists hold values of one of Python's own classes. Looking at each value takes longer than converting it.
    classes = set(map(type, objects.items))
    if classes <= PLAIN_CLASSES:
        found = {_SHAPES.get(each, _SCALAR) for each in classes if each is not type(None)}
        if len(found) <= 1:
            return next(iter(found), None)
    shapes: dict[str, int] = {}
    for index, item in enumerate(objects.items):
        if not is_missing(item):
            shapes.setdefault(_shape(item), index)
    if objects.is_nan_missing and len(shapes) > 1 and all(map(_is_nested_or_missing, objects.items)):
        shapes.pop(_SCALAR, None)
    if len(shapes) > 1:
        (first, start), (other, position) = list(shapes.items())[:2]
        raise OutputContractError(
            code=ErrorCode.OUTPUT_SHAPE,
            what=f"element {position + 1}",
            got=f"{other} ({class_name(objects.items[position])})",
            expected=f"{first} like element {start + 1}",
            state=STATE,
            next_step="Return elements of one shape: all scalars, all lists, all tuples, or all dicts.",
        )
    return next(iter(shapes), None)


def _is_nested_or_missing(item: Any) -> bool:
    return is_missing(item) or is_nan(item) or _shape(item) != _SCALAR


def _shape(item: Any) -> str:
    if isinstance(item, tuple):
        return _TUPLE
    if isinstance(item, dict):
        return _DICT
    if isinstance(item, list) or (isinstance(item, np.ndarray) and item.ndim > 0):
        return _LIST
    return _SCALAR


def _are_maps(items: list[Any], schema: pa.Schema | None) -> bool:
    """Return whether dictionaries are values of a single map column, rather than rows with one key per column.

    This requires a schema whose only column is a map. Even then, the dictionaries are rows if
    each has the name of this column as its only key, and another dictionary as the value.
    """
    if schema is None or len(schema) != 1 or not pa.types.is_map(schema.field(0).type):
        return False
    column, dicts = schema.field(0), [item for item in items if item is not None]
    return not all(item.keys() == {column.name} and isinstance(item[column.name], dict) for item in dicts)


def _is_homogeneous(item: Any) -> bool:
    """Return whether all values in a list have the same type, in which case the list is an array and not a row.

    Missing values are ignored, and integers and floats may be mixed. NULL in place of a list counts as homogeneous.
    """
    if item is None or (isinstance(item, np.ndarray) and item.dtype != object):
        return True
    groups = {value_type_of_class(cls) for cls in set(map(type, item))} - {value_types.MISSING}
    return len(groups) <= 1 or groups == {value_types.INTEGER, value_types.FLOAT}


def _columns_of_rows(items: list[Sequence[Any] | None], width: int | None) -> Columns:
    is_undeclared = width is None
    for index, item in enumerate(items):
        if item is None:
            continue
        if width is None:
            width = len(item)
        if len(item) != width or width == 0:
            raise column_error(
                f"element {index + 1}",
                got=f"{describe(item)} of length {len(item)}",
                expected=f"length {width or 'at least 1'}, one value per column",
                next_step="Return rows of one length, one value per column; return an array as a list, not as a tuple.",
            )
    forms: list[Form] = [
        Objects([None if item is None else item[index] for item in items]) for index in range(width or 0)
    ]
    return Columns(positional_names(len(forms)) if is_undeclared else None, forms, len(items))


def _columns_of_dicts(items: list[dict[Any, Any] | None]) -> Columns:
    start, first = next((index, item) for index, item in enumerate(items) if item is not None)
    for index, item in enumerate(items):
        if item is not None and item.keys() != first.keys():
            raise column_error(
                f"element {index + 1}",
                got=f"a dict {keys_difference(item, {key for key in first if isinstance(key, str)})}",
                expected=f"the keys of element {start + 1}: {names(first)}",
                next_step="Return the same keys for every element, with None for a missing value, or declare a "
                "map: 'output.schema: prediction map<string,double>'.",
            )
    column_names = list(first)
    if column_names and not any(isinstance(name, str) for name in column_names):
        raise column_error(
            "the name of column 1",
            got=class_name(column_names[0]),
            expected="a text",
            next_step="Use texts as keys, or declare a map, such as 'output.schema: prediction map<bigint,double>'.",
        )
    check_names(column_names)
    forms: list[Form] = [Objects([None if item is None else item[name] for item in items]) for name in column_names]
    return Columns(column_names, forms, len(items))


def positional_names(count: int) -> list[str]:
    """Return names for unnamed columns: ``c0``, ``c1`` and so on."""
    return [f"c{index}" for index in range(count)]


def are_positions(found: Sequence[Any]) -> bool:
    """Return whether column names are 0, 1, 2 and so on, which is how pandas names unnamed columns."""
    return bool(found) and all(
        isinstance(name, (int, np.integer)) and not isinstance(name, bool) and name == index
        for index, name in enumerate(found)
    )


def refuse_numbers(found: Sequence[Any]) -> None:
    """Raise an error if a DataFrame column name is an integer.

    Call this only if `are_positions` returned False: the names 0, 1, 2 and so on are allowed, and mean that the columns
    are unnamed.

    Raises:
        OutputContractError: a name is an integer (code ``OUTPUT_COLUMNS``).
    """
    for position, name in enumerate(found, 1):
        if isinstance(name, (int, np.integer)) and not isinstance(name, bool):
            raise column_error(
                f"the name of column {position}",
                got=f"the number {name}",
                expected="a text; columns 0, 1 … in this order become c0, c1 …",
                next_step=f"Name it: frame.rename(columns={{{name}: 'score'}}).",
            )


def check_names(found: Iterable[Any]) -> None:
    """Check that there is at least one column, and that all column names are distinct, non-empty strings.

    Names that differ only in case count as equal.

    Raises:
        OutputContractError: a name is not valid, or there is no column (code ``OUTPUT_COLUMNS``).
    """
    seen: set[str] = set()
    for position, name in enumerate(found, 1):
        if not isinstance(name, str) or not name:
            got = "an empty text" if isinstance(name, str) else class_name(name)
            raise column_error(
                f"the name of column {position}",
                got=got,
                expected="a text",
                next_step="Name every column, for example frame.columns = ['label', 'score'].",
            )
        if seen & keys_of(name):
            raise column_error(
                f"column '{name}'",
                got="the name twice (Spark ignores case)",
                expected="each name once",
                next_step="Rename one of the columns in the scoring script.",
            )
        seen |= keys_of(name)
    if not seen:
        raise column_error("the result", got="no column", expected="at least one")
