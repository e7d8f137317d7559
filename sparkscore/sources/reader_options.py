"""Check the options for Spark's readers. Runs on the driver.

An option must be known and allowed, and its value must be valid.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Final
from zoneinfo import available_timezones

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.survey.csv_bytes import LINE_ENDS

# With these options, Spark would leave out files that sparkscore has listed and counted, or read other files.
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
    "Select files with a glob in 'input.location', such as 'DIR/*.csv'. A folder is read with all files below it. With "
    "a glob, folders 'key=value' are no columns."
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
_OF_ONE_CHARACTER: Final = ("comment", "escape", "quote")
# Java's largest offset is 18 hours.
_OFFSET: Final = re.compile(
    r"Z|(?:UTC|GMT|UT)?[+-](?:18(?::?00(?::?00)?)?|(?:0?[0-9]|1[0-7])(?::?[0-5][0-9](?::?[0-5][0-9])?)?)"
)
_TOO_FINE: Final = re.compile("S{7}")
# sparkscore sets these options itself, so their values are ignored.
_SET_HERE: Final = ("ignoreCorruptFiles", "ignoreMissingFiles")


def check_options(options: Mapping[str, str], file_format: str) -> None:
    """Check that each option is known, allowed and valid.

    - Names are case-insensitive, as in Spark.
    - Options that choose files, such as 'pathGlobFilter', are not allowed.
    - Options for other formats are allowed and have no effect.
    - Names with a dot are Hadoop options and are not checked.

    Args:
        options: the options in 'input.options'.
        file_format: the format of the input. Nothing is checked unless it is ``csv``, ``json`` or ``parquet``.

    Raises:
        ConfigError: code ``INPUT_OPTIONS``: an option is unknown, is not allowed, or has an invalid value.
    """
    if file_format not in _OTHERS:
        return
    # Options for other formats have no effect. They are allowed, since one deployment may read several formats.
    others = {name.lower(): "" for names in (*_BOOLEANS.values(), *_OTHERS.values()) for name in names}
    own = (*_BOOLEANS[file_format], *_OTHERS[file_format], *_SET_HERE, *_OF_FILES)
    known = others | {name.lower(): name for name in own}
    for given, value in options.items():
        name = known.get(given.lower())
        # A name with a dot is a Hadoop option.
        is_unknown = name is None and "." not in given
        if problem := _unknown(given, known) if is_unknown else _find_problem(name or "", value, file_format):
            got, expected, next_step = problem
            raise ConfigError(
                code=ErrorCode.INPUT_OPTIONS,
                what=f"'input.options.{given}'",
                got=got,
                expected=expected,
                next_step=next_step,
            )


def find_option(options: Mapping[str, str], name: str) -> str | None:
    """Return the value of an option, or None if it is not set.

    Names are case-insensitive, as in Spark. Boolean values are returned in lower case.
    """
    found = {key.lower(): value for key, value in options.items()}.get(name.lower())
    return found.lower() if found is not None and found.lower() in {"true", "false"} else found


#: The `got`, `expected` and `next_step` strings of the error about an option, or None if the option has no problem.
_Problem = tuple[str, str, str] | None


def _check_zone(value: str) -> _Problem:
    known = available_timezones()
    if not known or value in known or _OFFSET.fullmatch(value):
        return None
    return f"'{value}'", "a region such as Europe/Berlin, or an offset such as +02:00", "Correct it."


def _check_pattern(value: str) -> _Problem:
    if not _TOO_FINE.search(re.sub("'[^']*'", "", value)):
        return None
    return (
        f"'{value}', with more than six digits of a second",
        "up to six, since Spark cuts off all others",
        "Declare the columns as strings, and parse them in the script.",
    )


def _check_line_end(value: str) -> _Problem:
    if value in LINE_ENDS:
        return None
    return (
        f"'{value}'",
        "a line feed, a carriage return, or both",
        'Write it in double quotes in YAML: "\\n", "\\r\\n" or "\\r".',
    )


def _check_merging(value: str) -> _Problem:
    if value.lower() != "false":
        return None
    return "false", "true: all columns of all files are read", "Leave it out, or select columns with 'input.columns'."


_CHECK_EACH: Final[Mapping[str, Callable[[str], _Problem]]] = {
    "mergeSchema": _check_merging,
    "timeZone": _check_zone,
    "timestampFormat": _check_pattern,
    "timestampNTZFormat": _check_pattern,
}
_CHECKS: Final[Mapping[str, Mapping[str, Callable[[str], _Problem]]]] = {
    "csv": {**_CHECK_EACH, "lineSep": _check_line_end},
    "json": _CHECK_EACH,
    "parquet": _CHECK_EACH,
}


def _unknown(given: str, known: Mapping[str, str]) -> _Problem:
    """Return the problem with an unknown option. Its `next_step` suggests a similar option name if there is one."""
    near = difflib.get_close_matches(given.lower(), known, n=1)
    next_step = f"Did you mean '{known[near[0]] or near[0]}'?" if near else "Correct its name, or leave it out."
    return "an option that Spark's readers do not have", "the name of an option", next_step


def _find_problem(name: str, value: str, file_format: str) -> _Problem:
    """Return the problem with an option that is not allowed or has an invalid value, or None if there is no problem.

    Args:
        name: the name of the option in Spark's spelling, or an empty string for an option that is not checked.
        value: the value of the option.
        file_format: the format of the input.
    """
    if name in _OF_FILES:
        return "an option that chooses files", "none: all files of 'input.location' are read", _USE_GLOBS
    if name in _BOOLEANS[file_format] and value.lower() not in {"true", "false"}:
        return f"'{value}'", "true or false", "Correct it."
    if name in _OF_ONE_CHARACTER and len(value) > 1:
        return f"'{value}'", "no more than 1 character", "Correct it."
    if name == "mode" and value.upper() not in _MODES:
        return f"'{value}', which Spark takes for PERMISSIVE", f"one of {', '.join(_MODES)}", "Correct it."
    if name == "charToEscapeQuoteEscaping":
        return "an option that joins rows if the quotes are not escaped in this way", "no such option", "Leave it out."
    check = _CHECKS[file_format].get(name)
    return None if check is None else check(value)
