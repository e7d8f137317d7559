"""Refuse options for Spark's readers that leave files or rows out, or that no reader would regard (driver)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final

from sparkscore.errors import ConfigError

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
    "parquet": ("compression", "datetimeRebaseMode", "int96RebaseMode"),
}
# How many signs Spark takes.
_SIGNS: Final = {"charToEscapeQuoteEscaping": 1, "comment": 1, "escape": 1, "quote": 1, "lineSep": 2}
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
    known = {name.lower(): name for name in (*_BOOLEANS[kind], *_OTHERS[kind], *_SET_HERE, *_OF_FILES)}
    for given, value in options.items():
        name = known.get(given.lower())
        if name in _OF_FILES:
            raise _wrong(
                given,
                "an option that chooses files",
                "none: all files of 'input.location' are read",
                "Name the files there by a glob, such as 'DIR/*.csv'. A folder is read with all that is below, and a "
                "glob makes no columns of folders 'key=value'.",
            )
        # A name with a point is one of Hadoop's.
        if name is None and "." not in given:
            near = difflib.get_close_matches(given.lower(), known, n=1)
            what = f"Did you mean '{known[near[0]]}'?" if near else "Correct its name, or leave it out."
            raise _wrong(given, f"an option that Spark's {kind} reader does not have", "one of its options", what)
        if name in _BOOLEANS[kind] and value.lower() not in {"true", "false"}:
            raise _wrong(given, f"'{value}'", "true or false", "Correct it.")
        if name in _SIGNS and len(value) > _SIGNS[name]:
            raise _wrong(
                given, f"'{value}'", f"no more than {_SIGNS[name]} sign" + "s" * (_SIGNS[name] > 1), "Correct it."
            )
        if name == "mode" and value.upper() not in _MODES:
            raise _wrong(
                given, f"'{value}', which Spark takes for PERMISSIVE", f"one of {', '.join(_MODES)}", "Correct it."
            )


def _wrong(name: str, got: str, expected: str, next_step: str) -> ConfigError:
    return ConfigError(
        code="INPUT_OPTIONS", what=f"'input.options.{name}'", got=got, expected=expected, next_step=next_step
    )
