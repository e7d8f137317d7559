"""Read JSON exactly: each value as it is written, and what is no JSON by its line (driver and worker).

Spark's reader passes over much without a message, also with ``FAILFAST``: the second of two records on a line, the
first of two fields of one name, half a surrogate pair.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sparkscore.survey.text_bytes import find_control_character, other_kind

_SPACE: Final = " \t\r\n"
_DEEPEST: Final = "fields that are nested too deep"


class Number(str):
    """A number with a point or an exponent, in its own spelling."""

    __slots__ = ()


class NotFinite(float):
    """One of NaN, Infinity and -Infinity, which Spark takes for numbers."""

    __slots__ = ()


class RecordError(Exception):
    """What makes a text no record; holds nothing of the text but a field's name.

    Attributes:
        kind: one of ``encoding``, ``json``, ``spans``, ``behind``, ``doubled``, ``surrogate``, ``object``.
        told: more words for a message.
        line: how many lines below the first one it is.
    """

    def __init__(self, kind: str, told: str = "", line: int = 0) -> None:
        super().__init__(kind)
        self.kind, self.told, self.line = kind, told, line


@dataclass(frozen=True)
class JsonForm:
    """How JSON files are written.

    Attributes:
        encoding: Python's name of the encoding.
        separator: what ends a line; None for any line end.
        is_multiline: whether a file is one value, an array of records or a record.
        is_lenient: whether texts may hold raw control characters.
    """

    encoding: str = "utf-8"
    separator: bytes | None = None
    is_multiline: bool = False
    is_lenient: bool = False

    def decoder(self) -> json.JSONDecoder:
        """Give a parser that keeps each number's spelling and refuses doubled fields."""
        return json.JSONDecoder(
            object_pairs_hook=_record, parse_float=Number, parse_constant=NotFinite, strict=not self.is_lenient
        )


def decode(content: bytes, encoding: str, *, is_first: bool) -> str:
    """Give the text of bytes.

    Raises:
        RecordError: the bytes are not in that encoding.
    """
    name = codecs.lookup(encoding).name
    if is_first and (kind := other_kind(content, name)):
        raise RecordError("encoding", kind)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise RecordError("encoding", line=content.count(b"\n", 0, error.start)) from None
    if name == "iso8859-1" and (found := find_control_character(text)) is not None:
        raise RecordError("encoding", found[1], text.count("\n", 0, found[0]))
    return text.removeprefix("\ufeff") if is_first else text


def records_of_line(text: str, decoder: json.JSONDecoder) -> list[dict[str, Any]]:
    """Give the records of a line: none for an empty one, one, or those of an array.

    Raises:
        RecordError: the line is no record.
    """
    stripped = text.strip(_SPACE)
    if not stripped:
        return []
    value, end = _parse(decoder, stripped, 0)
    if end != len(stripped):
        rest = stripped[end:].lstrip(_SPACE)
        raise RecordError("behind", "another record" if rest.startswith(("{", "[")) else "more text")
    return [_checked(each, stripped) for each in (value if isinstance(value, list) else [value])]


def records_of_file(text: str, decoder: json.JSONDecoder) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give the records of a file that is one value, each with the number of the line that it begins in.

    Raises:
        RecordError: the file is not one array of records, or one record.
    """
    line, last = 1, 0
    for place, end, value in _elements(text, decoder):
        line, last = line + text.count("\n", last, place), place
        try:
            yield line, _checked(value, text[place:end])
        except RecordError as error:
            raise RecordError(error.kind, error.told, line - 1) from None


def _elements(text: str, decoder: json.JSONDecoder) -> Iterator[tuple[int, int, Any]]:
    place = _skip(text, 0)
    if place == len(text):
        return
    if text[place] != "[":
        value, end = _parse_at(decoder, text, place)
        yield place, end, value
        _expect_end(text, end)
        return
    place = _skip(text, place + 1)
    if text[place : place + 1] == "]":
        return _expect_end(text, place + 1)
    while True:
        value, end = _parse_at(decoder, text, place)
        yield place, end, value
        end = _skip(text, end)
        if text[end : end + 1] == "]":
            return _expect_end(text, end + 1)
        if text[end : end + 1] != ",":
            raise RecordError(
                "json", "neither a comma nor the end of the array behind a record", text.count("\n", 0, end)
            )
        place = _skip(text, end + 1)


def _expect_end(text: str, place: int) -> None:
    if (place := _skip(text, place)) != len(text):
        raise RecordError("behind", "more text", text.count("\n", 0, place))


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in _SPACE:
        place += 1
    return place


def _parse_at(decoder: json.JSONDecoder, text: str, place: int) -> tuple[Any, int]:
    try:
        return _parse(decoder, text, place)
    except RecordError as error:
        kind = "json" if error.kind == "spans" else error.kind
        raise RecordError(kind, error.told, error.line or text.count("\n", 0, place)) from None


def _parse(decoder: json.JSONDecoder, text: str, place: int) -> tuple[Any, int]:
    try:
        return decoder.raw_decode(text, place)
    except json.JSONDecodeError as error:
        # At the end of the text: what is missing may be in the next line.
        kind = "spans" if error.pos >= len(text) or error.msg.startswith("Unterminated string") else "json"
        raise RecordError(kind, f"{error.msg}, at character {error.colno}", error.lineno - 1) from None
    except RecursionError:
        raise RecordError("json", _DEEPEST) from None
    except ValueError:  # Python refuses integers of more than 4,300 digits
        raise RecordError("json", "a number of thousands of digits") from None


def _record(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        names = [name for name, _ in pairs]
        raise RecordError("doubled", next(name for name in record if names.count(name) > 1))
    return record


_NAMES: Final = {str: "a text", int: "a number", Number: "a number", NotFinite: "a number", bool: "true or false"}


def _checked(value: Any, text: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        found = "null" if value is None else _NAMES.get(type(value), "an array")
        raise RecordError("object", found)
    if ("\\ud" in text or "\\uD" in text) and _has_half(value):
        raise RecordError("surrogate")
    return value


def _has_half(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
