"""Read JSON files once before Spark does, on its workers: refuse what Spark would change, and decide types (driver)."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pyspark.sql import SparkSession
from pyspark.sql.types import NullType, StructField, StructType

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SourceError, SourceSchemaError, names
from sparkscore.plan import InputFile
from sparkscore.signature.same_name import doubled_names
from sparkscore.sources.encodings import WIDE, given_encoding, unreadable, with_encoding, wrong_bytes
from sparkscore.sources.json_types import TypesOfJson, names_in
from sparkscore.sources.packed import refuse_packed
from sparkscore.sources.shares import byte_ranges, in_shares
from sparkscore.spark.map_in_arrow import map_on_workers
from sparkscore.spark.schema import arrow_type_or_none
from sparkscore.survey.declared_texts import UTC
from sparkscore.survey.json_fields import FieldSurvey
from sparkscore.survey.json_fits import Formats
from sparkscore.survey.json_parts import Found, Part, Share, survey_parts
from sparkscore.survey.json_records import JsonForm
from sparkscore.survey.text_bytes import FIXES, NOT_READ_HERE, is_compressed

logger = logging.getLogger("sparkscore")

# So few bytes are looked at on the driver, without a Spark job.
_FEW_BYTES: Final = 4 << 20
# Options with which Spark takes texts that are no JSON, and which no other parser reads alike.
_OTHER_GRAMMARS: Final = (
    "allowBackslashEscapingAnyCharacter",
    "allowComments",
    "allowNumericLeadingZeros",
    "allowSingleQuotes",
    "allowUnquotedFieldNames",
)
# Options that say which types Spark finds.
_OF_TYPES: Final = (
    "dropFieldIfAllNull",
    "inferTimestamp",
    "prefersDecimal",
    "preferDate",
    "primitivesAsString",
    "singleVariantColumn",
)
_TRUE: Final = "true"
_NO_COLUMN: Final = "_sparkscore_no_record"


@dataclass(frozen=True)
class JsonFiles:
    """What is known of JSON files before Spark reads them.

    Attributes:
        rows: how many records there are.
        columns: what each column holds.
        schema: the columns and types that were found, where types are declared the names only; None where Spark finds
            them, by options of its own.
        are_all_read: whether Spark reads all of them; it may drop some where the deployment says so.
        respelled: the columns declared as integers in which some are written as ``5.0``.
    """

    rows: int
    columns: Mapping[str, FieldSurvey]
    schema: StructType | None
    are_all_read: bool = True
    respelled: frozenset[str] = frozenset()

    def count_nulls(self, columns: Collection[str]) -> dict[str, int]:
        """Count the records in which a column is NULL or absent."""
        return {name: self.rows - self.columns[name].count for name in columns if name in self.columns}


def json_options(options: Mapping[str, str]) -> dict[str, str]:
    """Give the options with which Spark reads the files; an encoding other than UTF-8 needs a line separator.

    Raises:
        ConfigError: Spark's reader does not take the encoding, or nothing could tell that it reads the files right.
    """
    if wrong := [name for name in _OTHER_GRAMMARS if _option(options, name) == _TRUE]:
        raise ConfigError(
            code=ErrorCode.INPUT_OPTIONS,
            what=f"'input.options.{wrong[0]}'",
            got="a form of JSON that cannot be checked",
            expected="JSON as RFC 8259 has it",
            next_step="Write the files as JSON, and leave the option out.",
        )
    encoding = given_encoding(options)
    told = with_encoding(options, encoding)
    if _is_strict(options):
        # Spark gives NULL for a column of this name, which is another one by default.
        told = {**told, "columnNameOfCorruptRecord": _NO_COLUMN}
    if encoding in {None, "UTF-8"} or _option(options, "multiLine") == _TRUE:
        return told
    if encoding in {"UTF-16", "UTF-32"}:
        raise ConfigError(
            code=ErrorCode.INPUT_ENCODING,
            what=f"'input.options.encoding: {encoding}' for JSON with a record in each line",
            expected="an encoding whose order of bytes is told: UTF-16LE or UTF-16BE; or UTF-8",
            next_step="Name UTF-16LE, as Windows has it, or convert the files to UTF-8.",
        )
    return told if _option(options, "lineSep") else {**told, "lineSep": "\n"}


def read_json(
    spark: SparkSession,
    files: Sequence[InputFile],
    options: Mapping[str, str],
    declared: StructType | None,
    wanted: Collection[str] | None,
) -> JsonFiles:
    """Read all files once, on the workers unless they are small.

    Args:
        spark: the session.
        files: the files.
        options: what `json_options` gave.
        declared: the declared columns.
        wanted: the columns that are read; None for all.

    Raises:
        SourceError: a file holds something that is no record, or is not text.
        SourceSchemaError: a column has values that its type does not hold, or that no type holds.
    """
    refuse_packed(files, (".deflate", *NOT_READ_HERE), "JSON as it is, or packed as .gz, .bz2 or .zst")
    look_up = _Look(files, _parts(files, options), options, declared)
    found = look_up.run(spark)
    look_up.refuse_problem(found)
    look_up.refuse_misfits(found)
    _refuse_names(found.columns)
    if declared is not None:
        look_up.refuse_nulls(found)
        named = StructType([StructField(name, NullType()) for name in found.columns])
        return JsonFiles(found.rows, found.columns, named, _is_strict(options), frozenset(found.respelled))
    if _has_own_types(options):
        return JsonFiles(found.rows, found.columns, None, _is_strict(options))
    types = TypesOfJson(found.columns, look_up.tell_place)
    types.refuse_doubts(types.schema.names if wanted is None else wanted)
    if types.left_out:
        logger.warning("input: left out, since all values are objects without fields: %s", names(types.left_out))
    return JsonFiles(found.rows, found.columns, types.schema, _is_strict(options))


class _Look:
    """One look at all files."""

    def __init__(
        self, files: Sequence[InputFile], parts: Sequence[Part], options: Mapping[str, str], declared: StructType | None
    ) -> None:
        self._files, self._parts, self._declared = files, parts, declared
        self._first_lines: dict[int, int] = {}
        self._form = _form_of(options)
        self._formats = Formats(
            bool(_option(options, "dateFormat")),
            bool(_option(options, "timestampFormat") or _option(options, "timestampNTZFormat")),
            _option(options, "timeZone") or UTC,
        )
        self._drops_bad = not _is_strict(options)

    def run(self, spark: SparkSession) -> Found:
        types = (
            None
            if self._declared is None
            else {field.name: arrow_type_or_none(field.dataType) for field in self._declared}
        )
        sizes = {file.path: file.size_bytes for file in self._files}
        shares = [
            Share(parts, self._form, types, self._formats, drops_bad=self._drops_bad)
            for parts in in_shares(self._parts, lambda part: _size_of(part, sizes))
        ]
        is_small = sum(sizes.values()) <= _FEW_BYTES
        answers = map(survey_parts, shares) if is_small else map_on_workers(spark, survey_parts, shares)
        found = Found()
        for answer in answers:
            found.merge(Found.from_json(answer))
        self._count_lines(found.lines)
        return found

    def _count_lines(self, lines: Mapping[int, int]) -> None:
        before, path = 0, ""
        for part in self._parts:
            before = 0 if part.path != path else before
            self._first_lines[part.number], path = before, part.path
            before += lines.get(part.number, 0)

    def tell_place(self, place: Sequence[int]) -> str:
        """Name a file and a line."""
        part = self._parts[place[0]]
        return f"'{part.path}', line {self._first_lines[part.number] + place[1]:,}"

    def refuse_problem(self, found: Found) -> None:
        """Refuse what is no record.

        Raises:
            SourceError: with file and line.
        """
        if found.problem is None:
            return
        place, kind, told = found.problem
        path, line = self._parts[place[0]].path, self._first_lines[place[0]] + place[1]
        if kind == "encoding":
            encoding = self._form.encoding.upper()
            what = told if told in FIXES else f"line {line:,} has {told or f'bytes that are not {encoding}'}"
            raise wrong_bytes(path, what, encoding)
        if kind == "unreadable":
            raise unreadable(path, f"{told} behind line {line:,}")
        raise _no_record(path, line, kind, told, is_multiline=self._form.is_multiline)

    def refuse_misfits(self, found: Found) -> None:
        """Refuse values that their declared types do not hold.

        Raises:
            SourceSchemaError: with column, file and line.
        """
        all_misfits = [
            (place, name, told) for name, seen in found.columns.items() for told, place in seen.misfits.items()
        ]
        if not all_misfits or self._declared is None:
            return
        place, name, told = min(all_misfits)
        raise SourceSchemaError(
            code=ErrorCode.INPUT_VALUE,
            what=f"column '{name}' of the json input, declared {self._declared[name].dataType.simpleString()}",
            got=f"{told} ({self.tell_place(place)})",
            expected="values that the declared type holds exactly",
            next_step=f"Correct the files, or 'input.schema': '{name} string' gives each value as it is written.",
        )

    def refuse_nulls(self, found: Found) -> None:
        """Refuse NULL where the declaration says that there is none.

        Raises:
            SourceSchemaError: with the column.
        """
        for field in self._declared or ():
            seen = found.columns.get(field.name)
            if not field.nullable and seen is not None and seen.count < found.rows:
                raise SourceSchemaError(
                    code=ErrorCode.INPUT_NULL,
                    what=f"column '{field.name}' of the json input, declared NOT NULL",
                    got=f"{found.rows - seen.count:,} records in which it is null or absent",
                    next_step="Correct the files, or declare it without NOT NULL.",
                )


def _no_record(path: str, line: int, kind: str, told: str, *, is_multiline: bool) -> SourceError:
    got, expected, next_step = {
        "json": (f"no JSON ({told})", "one JSON object", "Correct it."),
        "spans": (
            "a record that does not end in its line",
            "one JSON object in each line",
            (
                "If the file is one array or one object over several lines, set 'input.options: {multiLine: true}'; if"
                " it has several such objects, write each into one line, as 'jq -c .' does; else it is cut off."
            ),
        ),
        "behind": (
            f"{told} behind the record",
            "one JSON object in each line",
            "Write each record into a line of its own, for example with 'jq -c .'.",
        ),
        "doubled": (f"an object with two fields '{told}'", "each field once", "Remove or rename one of them."),
        "surrogate": (
            "an escape that is half a character (\\ud800 to \\udfff)",
            "both halves, or the character itself",
            "Correct the text; it cannot be kept in UTF-8.",
        ),
        "object": (told, "a JSON object, or an array of objects", "Write each record as an object with its fields."),
    }[kind]
    if is_multiline and kind == "behind":
        expected = "one array of objects, or one object, as 'multiLine' has it"
        next_step = (
            "If the file has a record in each line, leave 'input.options.multiLine' out; else make it one array."
        )
    return SourceError(
        code=ErrorCode.INPUT_RECORD,
        what=f"input file '{path}', line {line:,}",
        got=got,
        expected=expected,
        next_step=next_step,
    )


def _refuse_names(columns: Mapping[str, FieldSurvey]) -> None:
    for beside in names_in(columns):
        if doubled := doubled_names(beside):
            raise SourceSchemaError(
                code=ErrorCode.INPUT_COLUMN_NAMES,
                what="the json input has a column or field name that cannot be told from another",
                got=names(doubled),
                expected="names that differ in more than case",
                next_step="Rename them in the input.",
            )


def _is_strict(options: Mapping[str, str]) -> bool:
    return (_option(options, "mode") or "failfast").lower() == "failfast"


def _has_own_types(options: Mapping[str, str]) -> bool:
    told = any((_option(options, name) or "false") != "false" for name in _OF_TYPES)
    mode = (_option(options, "mode") or "failfast").lower()
    return told or mode == "permissive"


def _option(options: Mapping[str, str], name: str) -> str | None:
    """Give an option of Spark's, which regards no case."""
    found = {key.lower(): value for key, value in options.items()}.get(name.lower())
    return found.lower() if found is not None and found.lower() in {"true", "false"} else found


def _form_of(options: Mapping[str, str]) -> JsonForm:
    encoding = _option(options, "encoding") or "UTF-8"
    separator = _option(options, "lineSep")
    return JsonForm(
        encoding.lower(),
        None if separator is None else separator.encode(encoding),
        is_multiline=_option(options, "multiLine") == _TRUE,
        is_lenient=_option(options, "allowUnquotedControlChars") == _TRUE,
    )


def _parts(files: Iterable[InputFile], options: Mapping[str, str]) -> list[Part]:
    encoding = _option(options, "encoding") or "UTF-8"
    is_whole = _option(options, "multiLine") == _TRUE or encoding in WIDE
    ranges = [
        (file.path, start, end)
        for file in files
        for start, end in ([(0, None)] if is_whole or is_compressed(file.path) else byte_ranges(file.size_bytes))
    ]
    return [Part(number, path, start, end) for number, (path, start, end) in enumerate(ranges)]


def _size_of(part: Part, sizes: Mapping[str, int]) -> int:
    """Return the bytes of a part, given the sizes of the files."""
    return (sizes[part.path] if part.end is None else part.end) - part.start
