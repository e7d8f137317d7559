"""Refuse options for Spark's readers that leave files or rows out, or that no reader would regard (driver)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Final
from zoneinfo import available_timezones

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.survey.csv_bytes import LINE_ENDS

# Spark would leave out files that are listed and counted here, or read others.
_OF_FILES: Final = (
    "basePath",
    "modifiedAfter",
    "modifiedBefore",
    "path",
    "pathGlobFilter",
    "paths",
    "recursiveFileLookup",
)
_USE_GLOBS: Final = (
    "Name the files there by a glob, such as 'DIR/*.csv'. A folder is read with all that is below, and a glob makes no "
    "columns of folders 'key=value'."
)
_MODES: Final = ("FAILFAST", "DROPMALFORMED", "PERMISSIVE")
_BOOLEANS: Final[Mapping[str, tuple[str, ...]]] = {
    "csv": (
        "columnPruning",
        "enableDateTimeParsingFallback",
        "enforceSchema",
        "escapeQuotes",
        "header",
        "ignoreLeadingWhiteSpace",
        "ignoreTrailingWhiteSpace",
        "inferSchema",
        "multiLine",
        "preferDate",
        "quoteAll",
    ),
    "json": (
        "allowBackslashEscapingAnyCharacter",
        "allowComments",
        "allowNonNumericNumbers",
        "allowNumericLeadingZeros",
        "allowSingleQuotes",
        "allowUnquotedControlChars",
        "allowUnquotedFieldNames",
        "dropFieldIfAllNull",
        "enableDateTimeParsingFallback",
        "ignoreNullFields",
        "inferTimestamp",
        "multiLine",
        "preferDate",
        "prefersDecimal",
        "primitivesAsString",
    ),
    "parquet": ("mergeSchema",),
}
_OF_TEXTS: Final = (
    "charset",
    "columnNameOfCorruptRecord",
    "compression",
    "dateFormat",
    "encoding",
    "lineSep",
    "locale",
    "mode",
    "samplingRatio",
    "timeFormat",
    "timeZone",
    "timestampFormat",
    "timestampNTZFormat",
)
_OTHERS: Final[Mapping[str, tuple[str, ...]]] = {
    "csv": (
        *_OF_TEXTS,
        "charToEscapeQuoteEscaping",
        "codec",
        "comment",
        "delimiter",
        "emptyValue",
        "escape",
        "extension",
        "inputBufferSize",
        "maxCharsPerColumn",
        "maxColumns",
        "nanValue",
        "negativeInf",
        "nullValue",
        "positiveInf",
        "quote",
        "sep",
        "unescapedQuoteHandling",
    ),
    "json": (
        *_OF_TEXTS,
        "maxNestingDepth",
        "maxNumLen",
        "maxStringLen",
        "pretty",
        "singleVariantColumn",
        "sortKeys",
        "useUnsafeRow",
        "writeNonAsciiCharacterAsCodePoint",
    ),
    "parquet": ("compression", "datetimeRebaseMode", "int96RebaseMode", "timeZone"),
}
_OF_ONE_SIGN: Final = ("comment", "escape", "quote")
_OFFSET: Final = re.compile(r"Z|(?:UTC|GMT|UT)?[+-](?:0?[0-9]|1[0-8])(?::?[0-5][0-9](?::?[0-5][0-9])?)?")
_TOO_FINE: Final = re.compile("S{7}")
#: Options that the readers get from sparkscore, whatever they are.
_SET_HERE: Final = ("ignoreCorruptFiles", "ignoreMissingFiles")


def check_options(options: Mapping[str, str], kind: str) -> None:
    """Refuse options that would leave something out; their names are taken as Spark takes them, in any case.

    Args:
        options: the deployment's ``input.options``.
        kind: the format; formats of which not all options are known pass.

    Raises:
        ConfigError: code ``INPUT_OPTIONS``.
    """
    if kind not in _OTHERS:
        return
    # Options of another format have no effect; one deployment may serve several.
    others = {name.lower(): "" for names in (*_BOOLEANS.values(), *_OTHERS.values()) for name in names}
    known = others | {name.lower(): name for name in (*_BOOLEANS[kind], *_OTHERS[kind], *_SET_HERE, *_OF_FILES)}
    for given, value in options.items():
        name = known.get(given.lower())
        # A name with a point is one of Hadoop's.
        is_unknown = name is None and "." not in given
        if told := _unknown(given, known) if is_unknown else _find_problem(name or "", value, kind):
            got, expected, next_step = told
            raise ConfigError(
                code=ErrorCode.INPUT_OPTIONS,
                what=f"'input.options.{given}'",
                got=got,
                expected=expected,
                next_step=next_step,
            )


#: What is got, what is expected, what helps; nothing where the value is right.
_Told = tuple[str, str, str] | None


def _check_zone(value: str, kind: str) -> _Told:  # noqa: ARG001 - of each format
    known = available_timezones()
    if not known or value in known or _OFFSET.fullmatch(value):
        return None
    return f"'{value}'", "a region such as Europe/Berlin, or an offset such as +02:00", "Correct it."


def _check_pattern(value: str, kind: str) -> _Told:  # noqa: ARG001 - of each format
    if not _TOO_FINE.search(re.sub("'[^']*'", "", value)):
        return None
    return (
        f"'{value}', with more than six digits of a second",
        "up to six, since Spark cuts off all others",
        "Declare the columns as strings, and let the script read them.",
    )


def _check_line_end(value: str, kind: str) -> _Told:
    if kind != "csv" or value in LINE_ENDS:
        return None
    return (
        f"'{value}'",
        "a line feed, a carriage return, or both",
        'Write it in double quotes in YAML: "\\n", "\\r\\n" or "\\r".',
    )


def _check_merging(value: str, kind: str) -> _Told:  # noqa: ARG001 - of one format
    told = ("false", "true: all columns of all files are read", "Leave it out, or choose columns by 'input.columns'.")
    return told if value.lower() == "false" else None


def _refuse_escape(value: str, kind: str) -> _Told:  # noqa: ARG001 - of one format
    return "an option that joins rows where quotes are not as it says", "none", "Leave it out."


_CHECKS: Final[Mapping[str, Callable[[str, str], _Told]]] = {
    "charToEscapeQuoteEscaping": _refuse_escape,
    "lineSep": _check_line_end,
    "mergeSchema": _check_merging,
    "timeZone": _check_zone,
    "timestampFormat": _check_pattern,
    "timestampNTZFormat": _check_pattern,
}


def _unknown(given: str, known: Mapping[str, str]) -> _Told:
    near = difflib.get_close_matches(given.lower(), known, n=1)
    what = f"Did you mean '{known[near[0]] or near[0]}'?" if near else "Correct its name, or leave it out."
    return "an option that Spark's readers do not have", "one of theirs", what


def _find_problem(name: str, value: str, kind: str) -> _Told:
    if name in _OF_FILES:
        return "an option that chooses files", "none: all files of 'input.location' are read", _USE_GLOBS
    if name in _BOOLEANS[kind] and value.lower() not in {"true", "false"}:
        return f"'{value}'", "true or false", "Correct it."
    if name in _OF_ONE_SIGN and len(value) > 1:
        return f"'{value}'", "no more than 1 sign", "Correct it."
    if name == "mode" and value.upper() not in _MODES:
        return f"'{value}', which Spark takes for PERMISSIVE", f"one of {', '.join(_MODES)}", "Correct it."
    return _CHECKS[name](value, kind) if name in _CHECKS else None
