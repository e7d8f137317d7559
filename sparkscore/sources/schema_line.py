"""Write an 'input.schema' for a message (driver)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sparkscore.spark.schema import quoted

_LONGEST: Final = 200


def schema_line(types: Mapping[str, str], changed: Mapping[str, str]) -> str:
    """Write the schema of some columns, of which some get another type; only these where it would be long.

    >>> schema_line({"id": "bigint", "a b": "int"}, {"a b": "string"})
    'id bigint, `a b` string'
    """
    whole = ", ".join(f"{_name(name)} {kind}" for name, kind in {**types, **changed}.items())
    if len(whole) <= _LONGEST:
        return whole
    return ", ".join(["…", *(f"{_name(name)} {kind}" for name, kind in changed.items())])


def _name(name: str) -> str:
    return name if name.isidentifier() and name.isascii() else quoted(name)
