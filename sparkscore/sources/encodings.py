"""Decide the encoding of text files before Spark reads them, and say what to do about files in another one (driver)."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SourceError
from sparkscore.survey.text_bytes import FIXES

# Source: org.apache.spark.sql.catalyst.util.CharsetProvider of Spark 4, which takes these names and no aliases.
_OF_SPARK: Final = {
    "ascii": "US-ASCII",
    "iso8859-1": "ISO-8859-1",
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8",
    "utf-16": "UTF-16",
    "utf-16-be": "UTF-16BE",
    "utf-16-le": "UTF-16LE",
    "utf-32": "UTF-32",
}
_OPTIONS: Final = ("encoding", "charset")
#: Encodings in which an ASCII sign is more than one byte, so that a line end is not one byte.
WIDE: Final = frozenset({"UTF-16", "UTF-16BE", "UTF-16LE", "UTF-32"})


def given_encoding(options: Mapping[str, str]) -> str | None:
    """Give the encoding that 'input.options' names, as Spark spells it; None where it names none.

    Python's other names for it, such as ``latin-1`` and ``utf8``, are understood.

    Raises:
        ConfigError: code ``INPUT_ENCODING``: Spark's readers do not take it.
    """
    by_name = {key.lower(): value for key, value in options.items()}
    written = next((by_name[key] for key in _OPTIONS if key in by_name), None)
    if written is None:
        return None
    try:
        name = codecs.lookup(written).name
    except (LookupError, ValueError):
        name = ""
    if name not in _OF_SPARK:
        raise ConfigError(
            code=ErrorCode.INPUT_ENCODING,
            what="'input.options.encoding'",
            got=f"'{written}'",
            expected=f"one of those that Spark reads: {', '.join(sorted(set(_OF_SPARK.values())))}",
            next_step=f"Convert the files: {_convert(written)}.",
        )
    return _OF_SPARK[name]


def with_encoding(options: Mapping[str, str], encoding: str | None) -> dict[str, str]:
    """Give options for Spark's reader that name the encoding as Spark spells it."""
    others = {key: value for key, value in options.items() if key.lower() not in _OPTIONS}
    return others if encoding is None else {**others, "encoding": encoding}


def wrong_bytes(path: str, what: str, encoding: str) -> SourceError:
    """Make the error for a file whose bytes are not text in its encoding.

    Args:
        path: the file.
        what: what a `WrongBytesError` of it says.
        encoding: the encoding that it was read with.
    """
    return SourceError(
        code=ErrorCode.INPUT_ENCODING,
        what=f"input file '{path}'",
        got=what,
        expected=f"text in {encoding}",
        next_step=FIXES.get(what)
        or f"If the file is text in another encoding, convert it to UTF-8 ({_convert('WINDOWS-1252')}, where it "
        "comes from Windows), or set 'input.options.encoding' where it is one of "
        f"{', '.join(sorted(set(_OF_SPARK.values())))}. ISO-8859-1 is not windows-1252: it has no € and no curved "
        "quotes.",
    )


def unreadable(path: str, what: str) -> SourceError:
    """Make the error for a file that is packed, and cannot be unpacked."""
    return SourceError(
        code=ErrorCode.INPUT_UNREADABLE,
        what=f"input file '{path}'",
        got=what,
        next_step="Remove it, or write it again: it is cut off, has something behind its end, or is not packed as its "
        "name says; 'gzip -t FILE' or so tests it.",
    )


def _convert(encoding: str) -> str:
    return f"iconv -f {encoding} -t UTF-8 OLD > NEW"
