"""Write an 'input.schema' that an error message can suggest to the user. Runs on the driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sparkscore.spark.schema import quoted

_LONGEST: Final = 200


def schema_line(types: Mapping[str, str], changed: Mapping[str, str]) -> str:
    """Return an 'input.schema' that declares the given columns, with the types of some of them replaced.

    If the whole schema is longer than 200 characters, the result contains only ``…`` and the columns in `changed`.

    Args:
        types: the type of each column.
        changed: the new type of each column whose type is replaced.

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
