"""Find the encoding of CSV and JSON files, and create the errors for files that cannot be decoded.

Runs on the driver.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SourceError
from sparkscore.survey.text_bytes import FIXES

# Maps Python's names of encodings to Spark's.
# Source: org.apache.spark.sql.catalyst.util.CharsetProvider of Spark 4, which accepts these names and no aliases.
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
#: Encodings in which each ASCII character, and therefore each line ending, takes more than one byte.
WIDE: Final = frozenset({"UTF-16", "UTF-16BE", "UTF-16LE", "UTF-32"})


def given_encoding(options: Mapping[str, str]) -> str | None:
    """Return Spark's name for the encoding set in 'input.options', or None if no encoding is set.

    Python's aliases, such as ``latin-1`` and ``utf8``, are accepted.

    Raises:
        ConfigError: Spark cannot read the encoding (code ``INPUT_ENCODING``).
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
            expected=f"an encoding that Spark reads: {', '.join(sorted(set(_OF_SPARK.values())))}",
            next_step=f"Convert the files: {_convert(written)}.",
        )
    return _OF_SPARK[name]


def with_encoding(options: Mapping[str, str], encoding: str | None) -> dict[str, str]:
    """Return a copy of the options in which the given encoding replaces the 'encoding' and 'charset' options.

    Args:
        options: options for Spark's reader.
        encoding: Spark's name for the encoding, or None to just remove these options.
    """
    others = {key: value for key, value in options.items() if key.lower() not in _OPTIONS}
    return others if encoding is None else {**others, "encoding": encoding}


def wrong_bytes(path: str, what: str, encoding: str) -> SourceError:
    """Return the error for a file whose bytes are not valid in its encoding.

    Args:
        path: the path of the file.
        what: a phrase that describes the bytes, for example the message of a `WrongBytesError`.
        encoding: the encoding with which the file was read.
    """
    return SourceError(
        code=ErrorCode.INPUT_ENCODING,
        what=f"input file '{path}'",
        got=what,
        expected=f"text in {encoding}",
        next_step=FIXES.get(what)
        or f"If the file is text in another encoding, convert it to UTF-8 ({_convert('WINDOWS-1252')} if it comes from "
        "Windows), or set 'input.options.encoding' if it is one of "
        f"{', '.join(sorted(set(_OF_SPARK.values())))}. ISO-8859-1 is not windows-1252: it has no € and no curved "
        "quotes.",
    )


def unreadable(path: str, what: str) -> SourceError:
    """Return the error for a file that cannot be read or decompressed.

    Args:
        path: the path of the file.
        what: a phrase that describes the problem.
    """
    return SourceError(
        code=ErrorCode.INPUT_UNREADABLE,
        what=f"input file '{path}'",
        got=what,
        next_step="Remove it, or write it again. It is truncated, has bytes after its end, or is not compressed "
        "as its name says. A command such as 'gzip -t FILE' tests it.",
    )


def _convert(encoding: str) -> str:
    """Return a shell command that converts a file from an encoding to UTF-8."""
    return f"iconv -f {encoding} -t UTF-8 OLD > NEW"
