"""Write an 'input.schema' for the message of an error (driver)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sparkscore.spark.schema import quoted

_LONGEST: Final = 200


def schema_line(types: Mapping[str, str], changed: Mapping[str, str]) -> str:
    """Return an 'input.schema' of columns, of which some get another type. A long schema has only the changed columns.

    Args:
        types: the columns with their types.
        changed: the columns that get another type, with that type.

    >>> schema_line({"id": "bigint", "a b": "int"}, {"a b": "string"})
    'id bigint, `a b` string'
    """
    whole = ", ".join(f"{_quoted(name)} {type_name}" for name, type_name in {**types, **changed}.items())
    if len(whole) <= _LONGEST:
        return whole
    return ", ".join(["…", *(f"{_quoted(name)} {type_name}" for name, type_name in changed.items())])


def _quoted(name: str) -> str:
    """Return a column name as Spark's DDL needs it: in backticks, unless it is a plain identifier."""
    return name if name.isidentifier() and name.isascii() else quoted(name)
