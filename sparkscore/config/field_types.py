"""Define pydantic field types for the sections of a deployment. Runs on the driver."""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Any, Final, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
)
from pydantic.json_schema import JsonSchemaValue, WithJsonSchema

from sparkscore.config.mini_batch_size import (
    FILE_PATTERN,
    MAX_INT,
    PATTERN,
    MiniBatchSize,
    parse_file_size,
    parse_mini_batch_size,
)
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.signature import parse_ddl
from sparkscore.signature.ddl import OF_SPARK_ONLY

_TEXT: Final[JsonSchemaValue] = {"type": "string"}
_WRITTEN: Final[JsonSchemaValue] = {"type": ["string", "number", "boolean"]}
_TEXTS: Final[JsonSchemaValue] = {"type": "array", "items": {"type": "string", "minLength": 1}}
_LEVELS: Final = ("debug", "info", "warning")


class Section(BaseModel):
    """Base class of the sections of a deployment file.

    Sections are immutable. Unknown keys are errors, and so are values of the wrong type, unless the field declares a
    conversion. Float fields do not allow infinity or NaN.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _as_text(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


def _as_names(value: object) -> object:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _as_arguments(value: object) -> object:
    if isinstance(value, str):
        try:
            return tuple(shlex.split(value))
        except ValueError as error:
            raise ValueError("a list, or a text with closed quotes") from error
    return tuple(value) if isinstance(value, list) else value


def _as_level(value: object) -> object:
    known = [*_LEVELS, *(level.upper() for level in _LEVELS)]
    if value not in known:
        raise ValueError("'warning', 'info' or 'debug'")
    return str(value).lower()


def _as_ddl(value: str) -> str:
    parse_ddl(value)
    return value


def _as_input_ddl(value: str) -> str:
    """Check that a string is a list of columns in Spark's DDL, and return it unchanged.

    A string that sparkscore cannot parse is accepted if it contains Spark-only types, non-ASCII characters or comments,
    because Spark's parser may accept it later.

    Raises:
        ConfigError: the string cannot be parsed, and has no such type, character or comment.
    """
    try:
        parse_ddl(value, "input.schema", ErrorCode.INPUT_SCHEMA)
    except ConfigError:
        words = set(re.findall(r"\w+", value.lower()))
        if not words & OF_SPARK_ONLY and value.isascii() and not re.search(r"--|/\*", value):
            raise
    return value


Text: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
"""A non-empty string."""

Ddl: TypeAlias = Annotated[Text, AfterValidator(_as_ddl)]
"""Columns in Spark's DDL, with types that sparkscore can write."""

InputDdl: TypeAlias = Annotated[Text, AfterValidator(_as_input_ddl)]
"""Columns in Spark's DDL, with any types."""

Written: TypeAlias = Annotated[str, BeforeValidator(_as_text), WithJsonSchema(_WRITTEN)]
"""A string. A number or a boolean is converted to a string."""

VariableName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[^=\x00]+$")]
"""A valid name of an environment variable."""

Names: TypeAlias = Annotated[
    tuple[Text, ...], BeforeValidator(_as_names), WithJsonSchema({"anyOf": [{**_TEXT, "minLength": 1}, _TEXTS]})
]
"""One name or a list of names."""


def _without_duplicates(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(value)) < len(value):
        raise ValueError("each name once")
    return value


NameList: TypeAlias = Annotated[
    tuple[Text, ...],
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
    AfterValidator(_without_duplicates),
    WithJsonSchema({**_TEXTS, "uniqueItems": True}),
]
"""A list of names without duplicates."""

Arguments: TypeAlias = Annotated[
    tuple[Written, ...],
    BeforeValidator(_as_arguments),
    WithJsonSchema({"anyOf": [_TEXT, {"type": "array", "items": _WRITTEN}]}),
]
"""Command-line arguments: a list, or a string that is split as in a shell."""

LoggingLevel: TypeAlias = Annotated[
    str, PlainValidator(_as_level), WithJsonSchema({"enum": [*_LEVELS, *(level.upper() for level in _LEVELS)]})
]

Size: TypeAlias = Annotated[
    MiniBatchSize,
    PlainValidator(parse_mini_batch_size),
    PlainSerializer(lambda size: str(size) if size.is_text else size.items or str(size), return_type=int | str),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1, "maximum": MAX_INT}, {"type": "string", "pattern": PATTERN}]}
    ),
]

FileSize: TypeAlias = Annotated[
    int,
    PlainValidator(parse_file_size),
    PlainSerializer(lambda size: f"{size}B", return_type=str),
    WithJsonSchema({"type": "string", "pattern": FILE_PATTERN}),
]
"""A number of bytes, written with a unit."""

Recorded: TypeAlias = dict[str, Any]
"""An Azure mapping that is recorded without being checked."""
