"""What 'input.options' say of CSV files: their dialect, and the options for Spark's reader (driver)."""

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

# FAILFAST: Spark's default turns what it cannot parse into NULLs, and a lost value is worse than a stopped run.
# The others make Spark read what the files say: line ends inside quotes, and quotes doubled as RFC 4180 has them.
# A column may have the name that Spark gives to rows which it cannot read, where that is not another one.
_DEFAULTS: Final = {
    "header": "true",
    "mode": "FAILFAST",
    "multiline": "true",
    "columnnameofcorruptrecord": "_sparkscore_no_record",
}
# How Spark guesses types, and whether it compares headers; both are done here.
_NOT_FOR_SPARK: Final = frozenset({"inferschema", "samplingratio", "preferdate", "enforceschema"})
# As Spark's CSVExprUtils has them.
_ESCAPED: Final = {r"\t": "\t", r"\r": "\r", r"\b": "\b", r"\f": "\f", r"\"": '"', r"\'": "'", r"\\": "\\"}
_FORMATS: Final = {"date": "dateformat", "timestamp": "timestampformat", "timestamp_ntz": "timestampntzformat"}
_SPECIAL: Final = ("nanvalue", "positiveinf", "negativeinf")


@dataclass(frozen=True)
class CsvFormat:
    """How CSV files are written.

    Attributes:
        dialect: the signs and the encoding.
        has_header: whether the first record of each file has the columns' names.
        compares_headers: whether the files must have the same header.
        finds_types: whether the types are found where they are not declared; the columns are texts otherwise.
        zone: the zone of times that have none.
        has_form: types whose texts have a form that the user gives.
        read_by_spark: these, and numbers of which the user names some; Spark's reader knows both.
        special: texts that the user names for numbers which are none.
        options: options for Spark's reader.
    """

    dialect: Dialect
    has_header: bool
    compares_headers: bool
    finds_types: bool
    zone: str
    has_form: frozenset[str]
    read_by_spark: frozenset[str]
    special: frozenset[str]
    options: Mapping[str, str]


def csv_format(given: Mapping[str, str]) -> CsvFormat:
    """Understand the options, of which Spark does not regard upper and lower case.

    Raises:
        ConfigError: code ``INPUT_ENCODING``: Spark's reader does not take the encoding, or not line by line.
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
            got=f"false beside the encoding {encoding}, in which a line end is more than one byte",
            expected="true, as it is by default",
            next_step="Leave out 'multiLine', or convert the files to UTF-8.",
        )
    special = frozenset(options[key] for key in _SPECIAL if key in options)
    has_form = frozenset(kind for kind, key in _FORMATS.items() if key in options)
    return CsvFormat(
        dialect=_dialect(options, encoding, reads_lines=reads_lines),
        has_header=_is_true(options, "header"),
        compares_headers=not _is_true(options, "enforceschema"),
        finds_types=options.get("inferschema", "true").lower() != "false",
        zone=options.get("timezone", "UTC"),
        has_form=has_form,
        read_by_spark=has_form | ({"float", "double"} if special else set()),
        special=special,
        options=with_encoding({key: options[key] for key in options if key not in _NOT_FOR_SPARK}, encoding),
    )


def _dialect(options: Mapping[str, str], encoding: str, *, reads_lines: bool) -> Dialect:
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
    r"""Read a separator, in which ``\t`` stands for a tab.

    Raises:
        ConfigError: it is empty, or Spark does not know one of its escapes.
    """
    parts = re.findall(r"\\.|\\|[^\\]+", written, re.DOTALL)
    if not written or any(part.startswith("\\") and part not in _ESCAPED for part in parts):
        raise ConfigError(
            code=ErrorCode.INPUT_OPTIONS,
            what="'input.options.sep'",
            got=f"'{written}'",
            expected=f"one sign or more, with no other escapes than {' '.join(_ESCAPED)}",
            next_step='Write the sign itself: in YAML "\\u0001", in double quotes, is the sign with that number.',
        )
    return "".join(_ESCAPED.get(part, part) for part in parts)


def _is_true(options: Mapping[str, str], key: str) -> bool:
    return options.get(key, "false").lower() == "true"
