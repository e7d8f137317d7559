"""Parse JSON strictly: keep decimal numbers as they are written, and report the line of an error.

Runs on the driver and the workers.

Spark's JSON reader silently drops some data, even in ``FAILFAST`` mode: the second of two records on one line, the
first of two fields with the same name, and half of a surrogate pair.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sparkscore.survey.text_bytes import find_control_character, find_other_format

_SPACE: Final = " \t\r\n"
_TOO_DEEP: Final = "fields that are nested too deep"
# Python's own limit depends on its version. Recursive functions later visit each value.
_DEEPEST: Final = 910


class Number(str):
    """A number with a decimal point or an exponent, stored as it is written in the file."""

    __slots__ = ()


class NotFinite(float):
    """NaN, Infinity or -Infinity. These are not valid JSON, but Spark reads them as numbers by default."""

    __slots__ = ()


class RecordError(Exception):
    """Raised for text that is not a valid record. The error contains none of the record's data, except a field name.

    Attributes:
        reason: the category of the error: ``encoding`` (the bytes cannot be decoded), ``json`` (the text is not JSON),
            ``spans`` (the text ends before the record does), ``behind`` (more text follows the record), ``doubled`` (a
            field occurs twice), ``surrogate`` (a string contains half of a surrogate pair) or ``object`` (the value is
            not an object).
        detail: a phrase for the error message, which may be empty.
        line: the line of the error, or of the start of the record, within the text, counted from 0.
    """

    def __init__(self, reason: str, detail: str = "", line: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.detail, self.line = reason, detail, line


@dataclass(frozen=True)
class JsonForm:
    """The syntax of JSON files.

    Attributes:
        encoding: Python's name of the encoding.
        separator: the bytes that end a line, or None if a line may end with LF, CR or CR LF.
        is_multiline: whether a file is one JSON value (an array of records, or a single record) instead of one record
            per line.
        is_lenient: whether strings may contain control characters that are not escaped.
    """

    encoding: str = "utf-8"
    separator: bytes | None = None
    is_multiline: bool = False
    is_lenient: bool = False

    def decoder(self) -> json.JSONDecoder:
        """Return a JSON decoder that rejects repeated fields and keeps decimal numbers as they are written.

        The decoder raises a `RecordError` for a field that occurs twice in an object. It returns numbers with a decimal
        point or an exponent as `Number`, and NaN and infinity as `NotFinite`.
        """
        return json.JSONDecoder(
            object_pairs_hook=_record, parse_float=Number, parse_constant=NotFinite, strict=not self.is_lenient
        )


def decode(content: bytes, encoding: str, *, is_first: bool) -> str:
    """Decode bytes of a JSON file, and return the text without the file's byte order mark.

    Args:
        content: the bytes.
        encoding: the encoding, by a name that Python accepts.
        is_first: whether the bytes are from the start of the file, which may have a byte order mark.

    Raises:
        RecordError: reason ``encoding``: the bytes are not valid in that encoding, or look like another encoding or
            another file format.
    """
    name = codecs.lookup(encoding).name
    if is_first and (other_format := find_other_format(content, name)):
        raise RecordError("encoding", other_format)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise RecordError("encoding", line=content.count(b"\n", 0, error.start)) from None
    if name == "iso8859-1" and (found := find_control_character(text)) is not None:
        raise RecordError("encoding", found[1], text.count("\n", 0, found[0]))
    return text.removeprefix("\ufeff") if is_first else text


def records_of_line(text: str, decoder: json.JSONDecoder) -> list[dict[str, Any]]:
    """Return the records of a line: none for a blank line, one for an object, or all records of an array.

    Raises:
        RecordError: the line is not a valid record or array of records.
    """
    stripped = text.strip(_SPACE)
    if not stripped:
        return []
    value, end = _parse(decoder, stripped, 0)
    if end != len(stripped):
        rest = stripped[end:].lstrip(_SPACE)
        raise RecordError("behind", "another record" if rest.startswith(("{", "[")) else "more text")
    _check_values(value, stripped)
    return [_as_record(each) for each in (value if isinstance(value, list) else [value])]


def records_of_file(text: str, decoder: json.JSONDecoder) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the records of a file that is one JSON value, each with the number of the line on which it begins.

    The value is one object, or an array of objects. A blank file has no records.

    Raises:
        RecordError: the file is not a valid record or array of records.
    """
    line, last = 1, 0
    for offset, end, value in _elements(text, decoder):
        line, last = line + text.count("\n", last, offset), offset
        try:
            _check_values(value, text[offset:end])
            yield line, _as_record(value)
        except RecordError as error:
            raise RecordError(error.reason, error.detail, line - 1) from None


def _elements(text: str, decoder: json.JSONDecoder) -> Iterator[tuple[int, int, Any]]:
    offset = _skip(text, 0)
    if offset == len(text):
        return
    if text[offset] != "[":
        value, end = _parse_at(decoder, text, offset)
        yield offset, end, value
        _expect_end(text, end)
        return
    offset = _skip(text, offset + 1)
    if text[offset : offset + 1] == "]":
        return _expect_end(text, offset + 1)
    while True:
        value, end = _parse_at(decoder, text, offset)
        yield offset, end, value
        end = _skip(text, end)
        if text[end : end + 1] == "]":
            return _expect_end(text, end + 1)
        if text[end : end + 1] != ",":
            raise RecordError(
                "json", "neither a comma nor the end of the array after a record", text.count("\n", 0, end)
            )
        offset = _skip(text, end + 1)


def _expect_end(text: str, offset: int) -> None:
    if (offset := _skip(text, offset)) != len(text):
        raise RecordError("behind", "more text", text.count("\n", 0, offset))


def _skip(text: str, offset: int) -> int:
    while offset < len(text) and text[offset] in _SPACE:
        offset += 1
    return offset


def _parse_at(decoder: json.JSONDecoder, text: str, offset: int) -> tuple[Any, int]:
    try:
        return _parse(decoder, text, offset)
    except RecordError as error:
        reason = "json" if error.reason == "spans" else error.reason
        raise RecordError(reason, error.detail, error.line or text.count("\n", 0, offset)) from None


def _parse(decoder: json.JSONDecoder, text: str, offset: int) -> tuple[Any, int]:
    try:
        return decoder.raw_decode(text, offset)
    except json.JSONDecodeError as error:
        # An error at the end of the text: the rest of the record may be on the next line.
        reason = "spans" if error.pos >= len(text) or error.msg.startswith("Unterminated string") else "json"
        raise RecordError(reason, f"{error.msg}, at character {error.colno}", error.lineno - 1) from None
    except RecursionError:
        raise RecordError("json", _TOO_DEEP) from None
    # https://docs.python.org/3/library/stdtypes.html#integer-string-conversion-length-limitation: 4,300 digits
    except ValueError:
        raise RecordError("json", "a number of thousands of digits") from None


def _record(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        names = [name for name, _ in pairs]
        raise RecordError("doubled", next(name for name in record if names.count(name) > 1))
    return record


_TYPE_NAMES: Final = {str: "a text", int: "a number", Number: "a number", NotFinite: "a number", bool: "true or false"}


def _as_record(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        found = "null" if value is None else _TYPE_NAMES.get(type(value), "an array")
        raise RecordError("object", found)
    return value


def _check_values(value: Any, text: str) -> None:
    """Raise a `RecordError` if the values in a text are nested too deeply, or a string has half of a surrogate pair."""
    if text.count("[") + text.count("{") > _DEEPEST and _is_too_deep(value):
        raise RecordError("json", _TOO_DEEP)
    if ("\\ud" in text or "\\uD" in text) and _has_lone_surrogate(value):
        raise RecordError("surrogate")


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        inside = (inner for each in level for inner in (each.values() if isinstance(each, dict) else each))
        level = [inner for inner in inside if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _has_lone_surrogate(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
