"""Survey JSON files: find values that Spark would change, and infer the column types. Runs on the driver."""

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
from sparkscore.sources.reader_options import find_option
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

# Files with at most this many bytes in total are read on the driver, without a Spark job.
_FEW_BYTES: Final = 4 << 20
# With these options Spark accepts text that is not JSON. sparkscore's parser cannot check such text.
_OTHER_GRAMMARS: Final = (
    "allowBackslashEscapingAnyCharacter",
    "allowComments",
    "allowNumericLeadingZeros",
    "allowSingleQuotes",
    "allowUnquotedFieldNames",
)
# These options control which types Spark infers.
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
    """The result of a survey of JSON files.

    Attributes:
        rows: the number of records that were read.
        columns: a summary of each column's values.
        schema: the columns with their inferred types, or None if Spark has to infer the types. If columns are declared,
            the schema only has the names of the columns in the files, and all types are `NullType`.
        are_all_read: whether Spark reads all records. If the 'mode' option has a value other than FAILFAST, Spark may
            drop or change records.
        respelled: the columns declared as integers, or as nested types with integers, in which some numbers are written
            as ``5.0`` or ``5e0``.
    """

    rows: int
    columns: Mapping[str, FieldSurvey]
    schema: StructType | None
    are_all_read: bool = True
    respelled: frozenset[str] = frozenset()

    def count_nulls(self, columns: Collection[str]) -> dict[str, int]:
        """Count, for each of the given columns, the records in which the column is NULL or missing.

        A column that occurs in no record is left out.
        """
        return {name: self.rows - self.columns[name].count for name in columns if name in self.columns}


def json_options(options: Mapping[str, str]) -> dict[str, str]:
    """Convert 'input.options' to options for Spark's JSON reader.

    - The encoding is replaced with Spark's name for it.
    - A line separator is added if Spark needs one, which is the case for files with one record per line in an encoding
      other than UTF-8.
    - If 'mode' is FAILFAST or not set, the column for corrupt records gets a name that is unlikely to be in the input.

    Raises:
        ConfigError: Spark cannot read the encoding; the files have one record per line and the encoding is UTF-16 or
            UTF-32 without a byte order (UTF-16LE, for example, is allowed); or an unsupported option, such as
            'allowComments', is true.
    """
    if wrong := [name for name in _OTHER_GRAMMARS if find_option(options, name) == _TRUE]:
        raise ConfigError(
            code=ErrorCode.INPUT_OPTIONS,
            what=f"'input.options.{wrong[0]}'",
            got="a form of JSON that cannot be checked",
            expected="JSON according to RFC 8259",
            next_step="Write the files as JSON, and remove the option.",
        )
    encoding = given_encoding(options)
    completed = with_encoding(options, encoding)
    if _is_strict(options):
        # Spark returns NULL for a column with this name. The default is '_corrupt_record', which the input may contain.
        completed = {**completed, "columnNameOfCorruptRecord": _NO_COLUMN}
    if encoding in {None, "UTF-8"} or find_option(options, "multiLine") == _TRUE:
        return completed
    if encoding in {"UTF-16", "UTF-32"}:
        raise ConfigError(
            code=ErrorCode.INPUT_ENCODING,
            what=f"'input.options.encoding: {encoding}' for JSON with a record in each line",
            expected="an encoding with a byte order, such as UTF-16LE or UTF-16BE; or UTF-8",
            next_step="Set UTF-16LE, which Windows uses, or convert the files to UTF-8.",
        )
    return completed if find_option(options, "lineSep") else {**completed, "lineSep": "\n"}


def read_json(
    spark: SparkSession,
    files: Sequence[InputFile],
    options: Mapping[str, str],
    declared: StructType | None,
    wanted: Collection[str] | None,
) -> JsonFiles:
    """Check each record of JSON files, and return the column types and a summary of the values.

    Small inputs are read on the driver, others on the workers. A warning is logged if columns are left out; see
    `TypesOfJson.left_out`.

    Args:
        spark: the session.
        files: the files.
        options: the options that `json_options` returned.
        declared: the declared columns, or None if none are declared.
        wanted: the columns that the run uses, or None for all columns.

    Raises:
        SourceError: a file contains something other than JSON records, is not valid in its encoding, has a compression
            that sparkscore cannot read, or cannot be decompressed.
        SourceSchemaError: a value does not fit its declared type; a NOT NULL column is NULL or missing in a record; two
            names differ only in case; or the types are inferred, and no type can be inferred for a column that the run
            uses.
        ScoringError: the Spark job that reads the files failed.
    """
    refuse_packed(files, (".deflate", *NOT_READ_HERE), "JSON without compression, or compressed as .gz, .bz2 or .zst")
    survey = _Survey(files, _parts(files, options), options, declared)
    found = survey.run(spark)
    survey.refuse_problem(found)
    survey.refuse_misfits(found)
    _refuse_names(found.columns)
    if declared is not None:
        survey.refuse_nulls(found)
        named = StructType([StructField(name, NullType()) for name in found.columns])
        return JsonFiles(found.rows, found.columns, named, _is_strict(options), frozenset(found.respelled))
    if _has_own_types(options):
        return JsonFiles(found.rows, found.columns, None, _is_strict(options))
    types = TypesOfJson(found.columns, survey.position_text)
    types.refuse_doubts(types.schema.names if wanted is None else wanted)
    if types.left_out:
        logger.warning("columns whose values are all objects without fields are left out: %s", names(types.left_out))
    return JsonFiles(found.rows, found.columns, types.schema, _is_strict(options))


class _Survey:
    """A survey that checks all records of JSON files, summarizes the columns, and finds line numbers for errors."""

    def __init__(
        self, files: Sequence[InputFile], parts: Sequence[Part], options: Mapping[str, str], declared: StructType | None
    ) -> None:
        self._files, self._parts, self._declared = files, parts, declared
        self._first_lines: dict[int, int] = {}
        self._form = _form_of(options)
        self._formats = Formats(
            bool(find_option(options, "dateFormat")),
            bool(find_option(options, "timestampFormat")),
            bool(find_option(options, "timestampNTZFormat")),
            find_option(options, "timeZone") or UTC,
        )
        self._drops_bad = not _is_strict(options)

    def run(self, spark: SparkSession) -> Found:
        """Read the files, on the driver or on the workers, and summarize them."""
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
        """Store in `self._first_lines` the number of lines that precede each part in its file.

        Args:
            lines: the number of lines in each part, by part number.
        """
        before, path = 0, ""
        for part in self._parts:
            before = 0 if part.path != path else before
            self._first_lines[part.number], path = before, part.path
            before += lines.get(part.number, 0)

    def position_text(self, position: Sequence[int]) -> str:
        """Return a phrase with the file and line of a position.

        Args:
            position: the number of a part, and the number of a line in that part.
        """
        part = self._parts[position[0]]
        return f"'{part.path}', line {self._first_lines[part.number] + position[1]:,}"

    def refuse_problem(self, found: Found) -> None:
        """Raise an error if a file cannot be read, or contains something that is not a JSON record.

        Raises:
            SourceError: the survey found a problem. The message contains the file and, if known, the line.
        """
        if found.problem is None:
            return
        position, problem, detail = found.problem
        path, line = self._parts[position[0]].path, self._first_lines[position[0]] + position[1]
        if problem == "encoding":
            encoding = self._form.encoding.upper()
            what = detail if detail in FIXES else f"line {line:,} has {detail or f'bytes that are not {encoding}'}"
            raise wrong_bytes(path, what, encoding)
        if problem == "unreadable":
            raise unreadable(path, f"{detail} behind line {line:,}")
        raise _no_record(path, line, problem, detail, is_multiline=self._form.is_multiline)

    def refuse_misfits(self, found: Found) -> None:
        """Raise an error if a value does not fit the declared type of its column.

        Raises:
            SourceSchemaError: a value does not fit. The message contains the column, file and line of the first one.
        """
        all_misfits = [
            (position, name, misfit)
            for name, seen in found.columns.items()
            for misfit, position in seen.misfits.items()
        ]
        if not all_misfits or self._declared is None:
            return
        position, name, misfit = min(all_misfits)
        raise SourceSchemaError(
            code=ErrorCode.INPUT_VALUE,
            what=f"column '{name}' of the json input, declared {self._declared[name].dataType.simpleString()}",
            got=f"{misfit} ({self.position_text(position)})",
            expected="values that the declared type holds exactly",
            next_step=f"Correct the files, or declare '{name} string' in 'input.schema' to get each value as it is "
            "written.",
        )

    def refuse_nulls(self, found: Found) -> None:
        """Raise an error if a column declared NOT NULL is NULL or missing in a record.

        Columns that occur in no record are ignored here; `SparkFiles.read_rows` checks that declared columns exist.

        Raises:
            SourceSchemaError: a column is NULL or missing. The message contains its name and the number of such
                records.
        """
        for field in self._declared or ():
            seen = found.columns.get(field.name)
            if not field.nullable and seen is not None and seen.count < found.rows:
                raise SourceSchemaError(
                    code=ErrorCode.INPUT_NULL,
                    what=f"column '{field.name}' of the json input, declared NOT NULL",
                    got=f"{found.rows - seen.count:,} records in which it is null or missing",
                    next_step="Correct the files, or declare it without NOT NULL.",
                )


def _no_record(path: str, line: int, problem: str, detail: str, *, is_multiline: bool) -> SourceError:
    """Return the error for a line that is not a valid JSON record.

    Args:
        path: the path of the file.
        line: the line number.
        problem: the type of the problem; see `RecordError.reason`.
        detail: a phrase that describes the problem, or the name of the repeated field.
        is_multiline: whether 'multiLine' is set, so that the file is one JSON value.
    """
    got, expected, next_step = {
        "json": (f"no JSON ({detail})", "one JSON object", "Correct the line."),
        "spans": (
            "a record that does not end in its line",
            "one JSON object in each line",
            (
                "If the file is one array or one object over several lines, set 'input.options: {multiLine: true}'. If"
                " it has several such objects, write each on one line, for example with 'jq -c .'. Otherwise the file"
                " is truncated."
            ),
        ),
        "behind": (
            f"{detail} behind the record",
            "one JSON object in each line",
            "Write each record on a separate line, for example with 'jq -c .'.",
        ),
        "doubled": (f"an object with two fields '{detail}'", "each field once", "Remove or rename one of them."),
        "surrogate": (
            "an escape that is half a character (\\ud800 to \\udfff)",
            "both halves, or the character itself",
            "Correct the text, which UTF-8 cannot encode.",
        ),
        "object": (detail, "a JSON object, or an array of objects", "Write each record as an object with its fields."),
    }[problem]
    if is_multiline and problem == "behind":
        expected = "one array of objects, or one object, because 'multiLine' is set"
        next_step = (
            "If the file has a record in each line, leave 'input.options.multiLine' out. Otherwise write one array."
        )
    return SourceError(
        code=ErrorCode.INPUT_RECORD,
        what=f"input file '{path}', line {line:,}",
        got=got,
        expected=expected,
        next_step=next_step,
    )


def _refuse_names(columns: Mapping[str, FieldSurvey]) -> None:
    """Raise an error if two columns, or two fields of an object, have names that differ only in case."""
    for siblings in names_in(columns):
        if doubled := doubled_names(siblings):
            raise SourceSchemaError(
                code=ErrorCode.INPUT_COLUMN_NAMES,
                what="the json input has a column or field name that cannot be told from another",
                got=names(doubled),
                expected="names that differ in more than case",
                next_step="Rename them in the input.",
            )


def _is_strict(options: Mapping[str, str]) -> bool:
    """Return whether a record that Spark cannot read stops the run ('mode' is FAILFAST or not set)."""
    return (find_option(options, "mode") or "failfast").lower() == "failfast"


def _has_own_types(options: Mapping[str, str]) -> bool:
    """Return whether Spark, rather than sparkscore, infers the types.

    This is the case if 'mode' is PERMISSIVE, or if an option that controls type inference has a value other than
    ``false``.
    """
    are_set = any((find_option(options, name) or "false") != "false" for name in _OF_TYPES)
    mode = (find_option(options, "mode") or "failfast").lower()
    return are_set or mode == "permissive"


def _form_of(options: Mapping[str, str]) -> JsonForm:
    """Convert the options to a `JsonForm`."""
    encoding = find_option(options, "encoding") or "UTF-8"
    separator = find_option(options, "lineSep")
    return JsonForm(
        encoding.lower(),
        None if separator is None else separator.encode(encoding),
        is_multiline=find_option(options, "multiLine") == _TRUE,
        is_lenient=find_option(options, "allowUnquotedControlChars") == _TRUE,
    )


def _parts(files: Iterable[InputFile], options: Mapping[str, str]) -> list[Part]:
    """Divide files into parts that different tasks can read.

    Large files are divided into ranges of 16 MiB. A file is a single part if it is compressed, has a wide encoding such
    as UTF-16, or is read with 'multiLine'.
    """
    encoding = find_option(options, "encoding") or "UTF-8"
    is_whole = find_option(options, "multiLine") == _TRUE or encoding in WIDE
    ranges = [
        (file.path, start, end)
        for file in files
        for start, end in ([(0, None)] if is_whole or is_compressed(file.path) else byte_ranges(file.size_bytes))
    ]
    return [Part(number, path, start, end) for number, (path, start, end) in enumerate(ranges)]


def _size_of(part: Part, sizes: Mapping[str, int]) -> int:
    """Return the size of a part in bytes.

    Args:
        part: the part.
        sizes: the size of each file, by path.
    """
    return (sizes[part.path] if part.end is None else part.end) - part.start
