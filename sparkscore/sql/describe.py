"""Write the description of an SQL function, and the statement that lets a query read it. Runs on the driver.

Spark describes a function of Python with ``Usage: N/A``, and versions before 4.2 print raw JSON for other functions.
The description is therefore the value of a function of its own, ``<name>_describe()``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from sparkscore.signature import to_ddl, type_name
from sparkscore.sql.names import DESCRIBE, STRUCT, TABLE
from sparkscore.worker.sql_arguments import Argument

if TYPE_CHECKING:
    from sparkscore.sql.function import SqlFunction

_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INDENT: Final = " " * 15


def description(function: SqlFunction) -> str:
    """Return the description of a function, in the layout of ``DESCRIBE FUNCTION EXTENDED`` of Spark 4.2."""
    lines = [
        ("Function", function.name),
        ("Comment", function.comment),
        ("Scored by", function.scorer),
        ("Input", list(map(_input, function.arguments))),
        ("Returns", [f"{_quoted(field.name)} {_type(field.type)}" for field in function.outputs]),
        ("On error", "stops the query" if function.raises else "NULLs, and a text in the column error"),
        ("Deterministic", str(function.is_deterministic).lower()),
        ("Example", _examples(function)),
    ]
    return "\n".join(line for label, value in lines if value for line in _lines(label, value))


def _examples(function: SqlFunction) -> list[str]:
    # Spark reads f(x).* as a syntax error, so all fields need a subquery.
    call, field = example(function), _quoted(function.columns[0])
    shown = f"{call}.{field}", f"{function.name}{STRUCT}(struct(*)).{field}", f"p.* FROM (SELECT {call} AS p"
    table = [f"* FROM {function.name}{TABLE}(TABLE(…)) -- Spark 4.1 and later"] if function.has_table else []
    return [f"SELECT {each}" for each in (f"{shown[0]} FROM …", f"{shown[1]} FROM …", f"{shown[2]} FROM …)", *table)]


def _lines(label: str, value: str | Sequence[str]) -> Iterator[str]:
    first, *rest = [value] if isinstance(value, str) else value
    yield f"{label + ':':<{len(_INDENT)}}{first}"
    yield from (f"{_INDENT}{line}" for line in rest)


def example(function: SqlFunction) -> str:
    """Return a call in which each required argument has its name, or each argument if none is required."""
    required = [argument for argument in function.arguments if argument.default is None] or function.arguments
    named = ", ".join(f"{_quoted(argument.name)} => {_quoted(argument.name)}" for argument in required)
    return f"{function.name}({named})"


def statement(function: SqlFunction) -> str:
    """Return the statement that creates the temporary function ``<name>_describe()``."""
    text = description(function).encode().hex().upper()
    # A text in hexadecimal digits has no characters that a setting of the session could change.
    return (
        f"CREATE OR REPLACE TEMPORARY FUNCTION {function.name}{DESCRIBE}() RETURNS STRING "
        f"COMMENT 'Describes the function {function.name}' RETURN decode(X'{text}', 'UTF-8')"
    )


def _input(argument: Argument) -> str:
    parts = [_quoted(argument.name), _type(argument.type)]
    if not argument.nullable:
        parts.append("NOT NULL")
    if argument.default is not None:
        parts.append(f"DEFAULT {_value(argument.default)}")
    if argument.comment:
        parts.append("'" + argument.comment.replace("'", "''") + "'")
    return " ".join(parts)


def _value(default: pa.Array) -> str:
    value = default[0].as_py()
    if value is None:
        return "NULL"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def _type(type_: pa.DataType) -> str:
    if not pa.types.is_nested(type_):
        return type_name(type_).upper()
    return to_ddl(pa.schema([("_", type_)])).removeprefix("_ ")


def _quoted(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else "`" + name.replace("`", "``") + "`"
