"""Write an 'input.schema' that an error message can suggest to the user. Runs on the driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sparkscore.spark.schema import quoted

_LONGEST: Final = 200


def schema_line(types: Mapping[str, str], changed: Mapping[str, str]) -> str:
    """Return an 'input.schema' that declares columns, with some of their types replaced.

    If it would have more than 200 characters, it contains only ``…`` and the columns in `changed`.

    Args:
        types: the columns with their types.
        changed: the columns whose types are replaced, with their new types.

    >>> schema_line({"id": "bigint", "a b": "int"}, {"a b": "string"})
    'id bigint, `a b` string'
    """
    whole = ", ".join(f"{_quoted(name)} {type_name}" for name, type_name in {**types, **changed}.items())
    if len(whole) <= _LONGEST:
        return whole
    return ", ".join(["…", *(f"{_quoted(name)} {type_name}" for name, type_name in changed.items())])


def _quoted(name: str) -> str:
    """Return a column name for Spark's DDL, in backticks unless it is an ASCII identifier."""
    return name if name.isidentifier() and name.isascii() else quoted(name)
