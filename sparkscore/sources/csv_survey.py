"""Look at all of a CSV input before it is scored: its bytes, its headers and its values (driver)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NoReturn

from pyspark.sql import DataFrame, SparkSession

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError, SourceSchemaError, names
from sparkscore.plan import InputFile
from sparkscore.signature.same_name import folded
from sparkscore.sources.csv_format import CsvFormat
from sparkscore.sources.encodings import unreadable, wrong_bytes
from sparkscore.sources.packed import refuse_packed
from sparkscore.sources.shares import in_shares
from sparkscore.spark.map_in_arrow import map_on_workers, run_in_arrow
from sparkscore.survey.csv_bytes import Dialect, FileFault
from sparkscore.survey.csv_header import FilesSurvey, join_surveys, read_survey, survey_files, survey_files_as_json
from sparkscore.survey.csv_rows import find_uneven_row
from sparkscore.survey.csv_values import SURVEY_SCHEMA, ColumnSurvey, SurveySpec, join_columns, survey
from sparkscore.survey.text_bytes import NOT_READ_HERE

# A job of Spark takes as long as this many bytes.
_LEAST_BYTES: Final = 8 * 1024 * 1024
_MOST_FILES: Final = 500
# How much is looked at for a row that Spark could not read; a few seconds.
_MOST_BYTES: Final = 64 * 1024 * 1024
_FIX_QUOTES: Final = (
    "Correct the file, or, if no value is in quotes and they are parts of values, set 'input.options: {quote: \"\"}'."
)
_FIXES: Final = {
    "open quote": _FIX_QUOTES,
    "quote inside": _FIX_QUOTES,
    "backslash": "If the file was written by Spark, MySQL or so, which escape quotes by a backslash, set escape: '\\' "
    "below 'input.options'; else correct the file.",
    "doubled quote": "If quotes are doubled inside values, leave out 'input.options.escape'; else correct the file.",
    "quoted end": "Tell what ends lines, so that it is kept inside values: 'input.options: {lineSep: \"\\r\\n\"}', in "
    'double quotes (for CR alone "\\r"). Or write line feeds inside values, as spreadsheets do.',
    "line ends": "Write all lines with the same end (dos2unix does it), or, if no value holds a line end, set "
    "'input.options: {multiLine: \"false\"}'.",
}
_CODES: Final = {
    "line ends": ErrorCode.INPUT_LINE_ENDS,
    "quoted end": ErrorCode.INPUT_LINE_ENDS,
    "open quote": ErrorCode.INPUT_OPEN_QUOTE,
}
_WANTED: Final = {
    "quoted end": "another line end inside values, since Spark's reader makes a line feed of this one",
    "line ends": "one line end in all of the file",
    "doubled quote": "each quote inside a value behind a backslash",
}


def check_files(spark: SparkSession, files: Sequence[InputFile], found: CsvFormat) -> None:
    """Look at the bytes of all files, on the workers where there are many, and compare their headers.

    Raises:
        SourceError: the bytes of a file are not text in its encoding, or its quotes or line ends would be misread.
        SourceSchemaError: the files have different headers.
    """
    refuse_packed(files, NOT_READ_HERE, "no compression, or .gz, .bz2, .zst or .deflate")
    looked = _look(spark, files, found.dialect)
    if looked.fault is not None:
        _refuse(looked.fault[0], looked.fault[1], found)
    if found.has_header and found.compares_headers:
        _compare(looked)


def survey_columns(spark: SparkSession, texts: DataFrame, kinds: Sequence[str], found: CsvFormat) -> list[ColumnSurvey]:
    """Look at all values.

    Args:
        spark: the session.
        texts: the columns as texts, and the row's file as the last column.
        kinds: the declared type of each; an empty text where it is to be found.
        found: how the files are written.

    Raises:
        SourceError: Spark cannot read the files.
    """
    spec = SurveySpec(tuple(kinds), found.special, found.zone)
    numbered = texts.toDF(*(f"c{number}" for number in range(len(texts.columns))))
    table = run_in_arrow(spark, numbered, lambda batches: survey(batches, spec), SURVEY_SCHEMA)
    return join_columns(table.to_pylist(), len(kinds))


def refuse_uneven_row(files: Sequence[InputFile], dialect: Dialect, width: int, first_name: str) -> None:
    """Refuse the first row that has not as many values as there are columns; large files are not looked at.

    Args:
        files: files that Spark could not read.
        dialect: how they are written.
        width: how many columns there are.
        first_name: the name of the first one.

    Raises:
        SourceError: with file and line.
    """
    size = 0
    for file in files:
        size += file.size_bytes
        row = find_uneven_row(file.path, dialect, width) if size <= _MOST_BYTES else None
        if row is None:
            continue
        other = other_separator(first_name) if width == 1 else ""
        raise SourceError(
            code=ErrorCode.INPUT_UNREADABLE,
            what=f"input file '{file.path}', line {row.line:,}",
            got=f"{row.values:,} value" + "s" * (row.values != 1),
            expected=f"{width:,}, as in the header",
            next_step=f"If the values are separated by another sign, set 'input.options: {{sep: {other!r}}}'."
            if other
            else "Correct the row: a separator inside a value needs quotes around the value, and one at the end of "
            "each row needs one in the header, too.",
        )


def other_separator(name: str) -> str:
    """Give a sign in a column's name that may be the separator; an empty text if there is none."""
    return next((sign for sign in ";\t|" if sign in name), "")


def _look(spark: SparkSession, files: Sequence[InputFile], dialect: Dialect) -> FilesSurvey:
    if sum(file.size_bytes for file in files) <= _LEAST_BYTES and len(files) <= _MOST_FILES:
        return survey_files([file.path for file in files], dialect)
    shares = in_shares(files, lambda file: file.size_bytes)
    tasks = [(tuple(file.path for file in share), dialect) for share in shares]
    answers = map_on_workers(spark, survey_files_as_json, tasks)
    return join_surveys(map(read_survey, answers))


def _refuse(path: str, fault: FileFault, found: CsvFormat) -> NoReturn:
    if fault.reason == "bytes":
        raise wrong_bytes(path, fault.detail, found.options["encoding"])
    if fault.reason == "unreadable":
        raise unreadable(path, fault.detail)
    raise SourceError(
        code=_CODES.get(fault.reason, ErrorCode.INPUT_QUOTES),
        what=f"input file '{path}'",
        got=fault.detail,
        expected=_WANTED.get(fault.reason, "each quote closed, and doubled inside a value"),
        next_step=_FIXES[fault.reason],
    )


def _compare(looked: FilesSurvey) -> None:
    """Compare the headers as Spark compares names."""
    by_path = sorted(looked.headers.items(), key=lambda item: item[1])
    if not by_path:
        return
    (first, first_path), *others = by_path
    for header, path in others:
        if [folded(name) for name in header] != [folded(name) for name in first]:
            raise SourceSchemaError(
                code=ErrorCode.INPUT_HEADERS,
                what=f"input file '{path}' has another header than '{first_path}'",
                got=_difference(header, first),
                expected="the same columns in the same order in all files",
                next_step="Score the files one by one, or write them alike."
                if set(map(folded, header)) == set(map(folded, first))
                else "Score the files one by one, or write them alike; 'input.options: {enforceSchema: \"true\"}' "
                "reads all files by the first one's header, whatever the others say.",
            )


def _difference(header: tuple[str, ...], first: tuple[str, ...]) -> str:
    more, missing = set(header) - set(first), set(first) - set(header)
    parts = [f"also {names(more)}"] if more else []
    parts += [f"no {names(missing)}"] if missing else []
    return " and ".join(parts) or "another order, or a name more than once"
