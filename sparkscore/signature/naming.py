"""Convert Arrow types and schemas to Spark DDL without using Spark. Runs on the driver and the workers."""

from __future__ import annotations

import re
from typing import Final

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError

MAX_DECIMAL_DIGITS: Final = 38
SCALAR_NAMES: Final = {
    pa.int8(): "tinyint",
    pa.int16(): "smallint",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.string(): "string",
    pa.binary(): "binary",
    pa.bool_(): "boolean",
    pa.date32(): "date",
    pa.timestamp("us", "UTC"): "timestamp",
    pa.timestamp("us"): "timestamp_ntz",
}
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _NoSparkNameError(Exception):
    """Raised for an Arrow type that has no name in Spark."""


def type_name(type_: pa.DataType) -> str:
    """Return Spark's name for an Arrow type, or ``Arrow`` followed by Arrow's name if Spark has no such type.

    >>> type_name(pa.list_(pa.int64()))
    'array<bigint>'
    """
    try:
        return _render(type_, is_ddl=False)
    except _NoSparkNameError:
        return f"Arrow {type_}"


def to_ddl(schema: pa.Schema) -> str:
    """Return an Arrow schema as Spark DDL.

    The DDL does not say whether array elements and map values may be NULL.

    Raises:
        ConfigError: Spark has no name for a column's type (code ``OUTPUT_SCHEMA``).
    """
    return ", ".join(_column(field) for field in schema)


def _column(field: pa.Field) -> str:
    try:
        return f"{_quote(field.name)} {_render(field.type, is_ddl=True)}{_options(field)}"
    except _NoSparkNameError:
        raise ConfigError(
            code=ErrorCode.OUTPUT_SCHEMA,
            what=f"column '{field.name}'",
            got=f"Arrow type {field.type}",
            expected="a type that Spark has",
            next_step="Cast the column to a Spark type, or leave it out.",
        ) from None


def _render(type_: pa.DataType, *, is_ddl: bool) -> str:
    if type_ in SCALAR_NAMES:
        return SCALAR_NAMES[type_]
    if pa.types.is_decimal128(type_) and 0 <= type_.scale <= type_.precision:
        return f"decimal({type_.precision},{type_.scale})"
    if pa.types.is_list(type_):
        return f"array<{_render(type_.value_type, is_ddl=is_ddl)}>"
    if pa.types.is_map(type_):
        return f"map<{_render(type_.key_type, is_ddl=is_ddl)},{_render(type_.item_type, is_ddl=is_ddl)}>"
    if pa.types.is_struct(type_):
        return f"struct<{','.join(_struct_field(field, is_ddl=is_ddl) for field in type_)}>"
    raise _NoSparkNameError


def _struct_field(field: pa.Field, *, is_ddl: bool) -> str:
    options = _options(field) if is_ddl else ""
    return f"{_quote(field.name)}:{_render(field.type, is_ddl=is_ddl)}{options}"


def _options(field: pa.Field) -> str:
    required = "" if field.nullable else " NOT NULL"
    comment = (field.metadata or {}).get(b"comment")
    return required if comment is None else f"{required} COMMENT {_literal(comment.decode())}"


def _quote(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else "`" + name.replace("`", "``") + "`"


def _literal(text: str) -> str:
    # Both single and double quotes are escaped, because Spark reads two quotes in a row as one.
    return "'" + re.sub(r"""([\\'"])""", r"\\\1", text) + "'"
