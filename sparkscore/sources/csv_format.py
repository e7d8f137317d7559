"""Convert 'input.options' for CSV files to a dialect and to options for Spark's reader. Runs on the driver."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.sources.encodings import WIDE, given_encoding, with_encoding
from sparkscore.survey.csv_bytes import Dialect

# FAILFAST: by default, Spark replaces what it cannot parse with NULL. A lost value is worse than a failed run.
# multiLine: quoted values may contain line endings.
# columnNameOfCorruptRecord: Spark reserves this column name for rows that it cannot read. It is changed so that the
# input may have a column named '_corrupt_record'.
_DEFAULTS: Final = {
    "header": "true",
    "mode": "FAILFAST",
    "multiline": "true",
    "columnnameofcorruptrecord": "_sparkscore_no_record",
}
# These options control type inference and the comparison of headers. sparkscore does both, so Spark does not get them.
_NOT_FOR_SPARK: Final = frozenset({"inferschema", "samplingratio", "preferdate", "enforceschema"})
# Source: the escapes that Spark's CSVExprUtils knows.
_ESCAPED: Final = {r"\t": "\t", r"\r": "\r", r"\b": "\b", r"\f": "\f", r"\"": '"', r"\'": "'", r"\\": "\\"}
_FORMATS: Final = {"date": "dateformat", "timestamp": "timestampformat", "timestamp_ntz": "timestampntzformat"}
_SPECIAL: Final = ("nanvalue", "positiveinf", "negativeinf")

# Options that only change the dialect, and options that only change the types of the values.
_OF_DIALECT: Final = frozenset({"sep", "delimiter", "quote", "escape", "comment", "encoding", "charset", "multiline"})
_OF_TYPES: Final = _NOT_FOR_SPARK | {"header", "nullvalue", "timezone", "locale", *_FORMATS.values(), *_SPECIAL}


@dataclass(frozen=True)
class CsvFormat:
    """The format of CSV files, as described by 'input.options'.

    Attributes:
        dialect: the separator, quotes, escapes, comments, line endings and encoding.
        has_header: whether the first record of each file contains the column names.
        compares_headers: whether all headers must be the same, if the files have headers.
        finds_types: whether column types are inferred from the values if no columns are declared.
        zone: the time zone for timestamps without a time zone.
        has_pattern: the names of the types for which the options set a pattern, for example ``date`` if 'dateFormat' is
            set.
        read_by_spark: the names of the types that Spark's reader, rather than sparkscore, converts in declared columns:
            the types in `has_pattern`, and ``float`` and ``double`` if `special` is not empty.
        special: the strings that the options set for NaN and infinity.
        options: options for Spark's reader.
        is_cut_as_usual: whether `dialect`, `has_header` and `null_value` determine how Spark's reader splits the files
            into strings. False if any other option that may affect this is set.
        null_value: the string that the options set for NULL, or an empty string.
    """

    dialect: Dialect
    has_header: bool
    compares_headers: bool
    finds_types: bool
    zone: str
    has_pattern: frozenset[str]
    read_by_spark: frozenset[str]
    special: frozenset[str]
    options: Mapping[str, str]
    is_cut_as_usual: bool
    null_value: str


def csv_format(given: Mapping[str, str]) -> CsvFormat:
    """Convert 'input.options' for CSV files to a `CsvFormat`.

    Option names are case-insensitive, as in Spark.

    Raises:
        ConfigError: code ``INPUT_ENCODING``: Spark does not support the encoding; or 'multiLine' is false, and line
            endings take more than one byte in the encoding.
        ConfigError: code ``INPUT_OPTIONS``: the separator is empty or contains an unknown escape sequence.
    """
    options = _DEFAULTS | {key.lower(): value for key, value in given.items()}
    quote = options.setdefault("quote", '"')
    options.setdefault("escape", quote)
    encoding = given_encoding(options) or "UTF-8"
    reads_lines = not _is_true(options, "multiline")
    if reads_lines and encoding in WIDE:
        raise ConfigError(
            code=ErrorCode.INPUT_ENCODING,
            what="'input.options.multiLine'",
            got=f"false with the encoding {encoding}, in which a line end is more than one byte",
            expected="true, the default",
            next_step="Leave out 'multiLine', or convert the files to UTF-8.",
        )
    special = frozenset(options[key] for key in _SPECIAL if key in options)
    has_pattern = frozenset(column_type for column_type, key in _FORMATS.items() if key in options)
    return CsvFormat(
        dialect=_dialect(options, encoding, reads_lines=reads_lines),
        has_header=_is_true(options, "header"),
        compares_headers=not _is_true(options, "enforceschema"),
        finds_types=options.get("inferschema", "true").lower() != "false",
        zone=options.get("timezone", "UTC"),
        has_pattern=has_pattern,
        read_by_spark=has_pattern | ({"float", "double"} if special else set()),
        special=special,
        options=with_encoding({key: options[key] for key in options if key not in _NOT_FOR_SPARK}, encoding),
        is_cut_as_usual={key.lower() for key in given} <= _OF_DIALECT | _OF_TYPES,
        null_value=options.get("nullvalue", ""),
    )


def _dialect(options: Mapping[str, str], encoding: str, *, reads_lines: bool) -> Dialect:
    """Convert the options for Spark's CSV reader to a `Dialect`.

    A null character (U+0000) disables the quote, escape or comment character.

    Args:
        options: the options, with lowercase names. ``quote`` and ``escape`` must be set. Other options default to
            Spark's values.
        encoding: Spark's name of the encoding.
        reads_lines: whether every line ending ends a row, even inside quotes.

    Raises:
        ConfigError: code ``INPUT_OPTIONS``: the separator is empty or contains an unknown escape sequence.
    """
    sep = options.get("sep", options.get("delimiter", ","))
    return Dialect(
        encoding=codecs.lookup(encoding).name,
        sep=_separator(sep),
        quote=options["quote"].strip("\0"),
        escape=options["escape"].strip("\0"),
        comment=options.get("comment", "").strip("\0"),
        reads_lines=reads_lines,
        line_end=options.get("linesep", ""),
        skips_leading=_is_true(options, "ignoreleadingwhitespace"),
        skips_trailing=_is_true(options, "ignoretrailingwhitespace"),
    )


def _separator(written: str) -> str:
    r"""Return the value of the 'sep' option with its escape sequences replaced, for example ``\t`` with a tab.

    Raises:
        ConfigError: the separator is empty or contains an unknown escape sequence.
    """
    parts = re.findall(r"\\.|\\|[^\\]+", written, re.DOTALL)
    if not written or any(part.startswith("\\") and part not in _ESCAPED for part in parts):
        raise ConfigError(
            code=ErrorCode.INPUT_OPTIONS,
            what="'input.options.sep'",
            got=f"'{written}'",
            expected=f"one or more characters, with no other escapes than {' '.join(_ESCAPED)}",
            next_step='Write the character itself: in YAML, "\\u0001" in double quotes is the character U+0001.',
        )
    return "".join(_ESCAPED.get(part, part) for part in parts)


def _is_true(options: Mapping[str, str], key: str) -> bool:
    return options.get(key, "false").lower() == "true"
