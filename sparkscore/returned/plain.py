"""Convert lists of Python's own numbers and texts, or dictionaries of them, in few steps. Runs on the workers.

`sparkscore.returned.table.tabulate` accepts many more values, and finds out how each of them must be converted. For a
mini-batch of ten small files, this takes several times as long as the conversion.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from sparkscore.errors import OutputContractError
from sparkscore.returned.objects import EXACT_CLASS
from sparkscore.returned.shapes import check_names

_NONE: Final = type(None)


class _Classes:
    """The classes that values of the last schema's columns may have, which is the same for all calls of a task."""

    def __init__(self) -> None:
        self._last: tuple[pa.Schema | None, tuple[frozenset[type], ...] | None] = (None, None)

    def of(self, schema: pa.Schema) -> tuple[frozenset[type], ...] | None:
        """Return the classes for each column, or None if one of the columns needs more than its values' classes."""
        known, classes = self._last
        if schema is not known:
            classes = _classes_of(schema)
            self._last = (schema, classes)
        return classes


_classes: Final = _Classes()


def _classes_of(schema: pa.Schema) -> tuple[frozenset[type], ...] | None:
    try:
        check_names(schema.names)
    except OutputContractError:
        return None
    found = [(EXACT_CLASS.get(field.type), field.nullable) for field in schema]
    exact = [(each, is_nullable) for each, is_nullable in found if each is not None]
    if len(exact) < len(found):
        return None
    return tuple(frozenset({each, _NONE} if is_nullable else {each}) for each, is_nullable in exact)


def tabulate_plain(returned: object, schema: pa.Schema) -> pa.Table | None:
    """Convert a list of plain values, or of dictionaries of them, to a table.

    Return None if the list has any other values, or does not fit the schema exactly. `tabulate` then converts it, or
    finds what is wrong. Where a table is returned, it is the one that `tabulate` would build.

    Args:
        returned: the value that ``run()`` returned.
        schema: names and types of the columns.
    """
    if type(returned) is not list or not returned:
        return None
    classes = _classes.of(schema)
    if classes is None:
        return None
    columns = _columns(returned, schema)
    if columns is None or not all(set(map(type, each)) <= fit for each, fit in zip(columns, classes, strict=True)):
        return None
    try:
        arrays = [pa.array(each, type_, from_pandas=False) for each, type_ in zip(columns, schema.types, strict=True)]
    except (pa.ArrowException, OverflowError, UnicodeError):
        return None
    # An array of more than 2 GiB of texts has several chunks, and is refused.
    return None if any(isinstance(each, pa.ChunkedArray) for each in arrays) else pa.table(arrays, schema=schema)


def _columns(returned: list[Any], schema: pa.Schema) -> list[list[Any]] | None:
    """Return the values of each column, or None if the elements are neither scalars nor dictionaries of all columns."""
    names = schema.names
    if type(returned[0]) is not dict:
        return [returned] if len(names) == 1 else None
    if set(map(type, returned)) != {dict} or set(map(type, returned[0])) != {str}:
        return None
    keys = dict.fromkeys(names).keys()
    if any(each.keys() != keys for each in returned):
        return None
    return [[each[name] for each in returned] for name in names]
