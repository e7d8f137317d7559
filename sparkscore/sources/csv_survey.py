"""Check the bytes, headers and values of CSV files before their rows are scored. Runs on the driver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from sparkscore.survey.csv_files import (
    CutSpec,
    FilesSurvey,
    KeyValues,
    join_surveys,
    read_survey,
    survey_files,
    survey_files_as_json,
)
from sparkscore.survey.csv_rows import find_uneven_row
from sparkscore.survey.csv_values import SURVEY_SCHEMA, ColumnSurvey, SurveySpec, join_columns, survey
from sparkscore.survey.text_bytes import NOT_READ_HERE

# Files with at most this many bytes in total are read on the driver, because starting a Spark job would take longer.
_LEAST_BYTES: Final = 8 * 1024 * 1024
_MOST_FILES: Final = 500
# Only files up to this total size are searched for a row that Spark could not read. This takes a few seconds.
_MOST_BYTES: Final = 64 * 1024 * 1024
_FIX_QUOTES: Final = (
    "Correct the file. Or, if quotes do not enclose values but are part of them, set 'input.options: {quote: \"\"}'."
)
_FIXES: Final = {
    "open quote": _FIX_QUOTES,
    "quote inside": _FIX_QUOTES,
    "backslash": "If the file was written by a program that escapes quotes with a backslash, such as Spark or MySQL, "
    "set escape: '\\' in 'input.options'. Otherwise correct the file.",
    "doubled quote": "If quotes are doubled inside values, leave out 'input.options.escape'. Otherwise correct the "
    "file.",
    "quoted end": "Set the line separator, so that it is kept inside values: 'input.options: {lineSep: \"\\r\\n\"}', "
    'in double quotes (for CR alone "\\r"). Or write line feeds inside values, as spreadsheets do.',
    "line ends": "Write all lines with the same line end, for example with dos2unix. Or, if no value contains a line "
    "end, set 'input.options: {multiLine: \"false\"}'.",
}
_CODES: Final = {
    "line ends": ErrorCode.INPUT_LINE_ENDS,
    "quoted end": ErrorCode.INPUT_LINE_ENDS,
    "open quote": ErrorCode.INPUT_OPEN_QUOTE,
}
_WANTED: Final = {
    "quoted end": "another line end inside values, since Spark's reader replaces this one with a line feed",
    "line ends": "the same line end in the whole file",
    "doubled quote": "a backslash before each quote inside a value",
}


def check_and_survey(
    spark: SparkSession,
    files: Sequence[InputFile],
    found: CsvFormat,
    types: Sequence[str],
    keys_of: Callable[[str], KeyValues],
) -> FilesSurvey:
    """Check the bytes of CSV files, compare their headers, and summarize the columns.

    If the files are large or many, the workers read them. Headers are not compared if 'header' is false or
    'enforceSchema' is true.

    Args:
        spark: the session.
        files: the CSV files.
        found: the format of the files.
        types: for each column, the type that its values must fit, or an empty string to infer the type. The columns of
            the files come first, then the partition columns.
        keys_of: a function that returns the values of the partition columns for a file path.

    Returns:
        what was found in the files. If it has no summaries, Spark must parse the files; see `survey_columns`.

    Raises:
        SourceError: a file is not text in its encoding, has quotes or line endings that Spark would misread, has a
            compression that sparkscore cannot read, or is damaged.
        SourceSchemaError: the files have different headers.
        ScoringError: the Spark job that reads the files failed.
    """
    refuse_packed(files, NOT_READ_HERE, "no compression, or .gz, .bz2, .zst or .deflate")
    spec = CutSpec(_survey_spec(types, found), found.has_header, found.null_value) if found.is_cut_as_usual else None
    looked = _read(spark, files, found.dialect, spec, keys_of)
    if looked.fault is not None:
        _refuse(looked.fault[0], looked.fault[1], found)
    if found.has_header and found.compares_headers:
        _compare_headers(looked)
    return looked


def _survey_spec(types: Sequence[str], found: CsvFormat) -> SurveySpec:
    return SurveySpec(tuple(types), found.special, found.zone)


def survey_columns(spark: SparkSession, texts: DataFrame, types: Sequence[str], found: CsvFormat) -> list[ColumnSurvey]:
    """Read all values on the workers, and return a summary of each column.

    A summary contains the number of NULLs. If the column's type is given, it also contains the number of values that do
    not fit this type. Otherwise, it contains the types that the values look like.

    Args:
        spark: the session.
        texts: the rows, with the columns as strings, followed by a column with the file of each row.
        types: for each column, the type that its values must fit, or an empty string to infer the type.
        found: the format of the files.

    Raises:
        SourceError: Spark cannot read the files.
        ScoringError: the Spark job failed for another reason.
    """
    spec = _survey_spec(types, found)
    numbered = texts.toDF(*(f"c{number}" for number in range(len(texts.columns))))
    table = run_in_arrow(spark, numbered, lambda batches: survey(batches, spec), SURVEY_SCHEMA)
    return join_columns(table.to_pylist(), len(types))


def refuse_uneven_row(files: Sequence[InputFile], dialect: Dialect, width: int, first_name: str) -> None:
    """Raise an error if a row has more or fewer values than there are columns.

    Only the first files, up to 64 MiB in total, are searched.

    Args:
        files: the files.
        dialect: the dialect of the files.
        width: the number of columns.
        first_name: the name of the first column. If it is the only column, and its name contains a likely separator,
            such as a semicolon, the error message suggests that separator.

    Raises:
        SourceError: a row has the wrong number of values. The message contains the file and line of the row.
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
            next_step=f"If the values have another separator, set 'input.options: {{sep: {other!r}}}'."
            if other
            else "Correct the row: a value that contains the separator needs quotes. If each row ends with a "
            "separator, the header needs one as well.",
        )


def other_separator(name: str) -> str:
    """Return the semicolon, tab or vertical bar that a column name contains, or an empty string if it has none of them.

    If a CSV file seems to have only one column, such a character in the column's name is probably the separator.
    """
    return next((character for character in ";\t|" if character in name), "")


def _read(
    spark: SparkSession,
    files: Sequence[InputFile],
    dialect: Dialect,
    spec: CutSpec | None,
    keys_of: Callable[[str], KeyValues],
) -> FilesSurvey:
    """Read the files, on the driver or on the workers, and summarize them as `survey_files` does."""
    if sum(file.size_bytes for file in files) <= _LEAST_BYTES and len(files) <= _MOST_FILES:
        return survey_files({file.path: keys_of(file.path) for file in files}, dialect, spec)
    shares = in_shares(files, lambda file: file.size_bytes)
    tasks = [({file.path: keys_of(file.path) for file in share}, dialect, spec) for share in shares]
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


def _compare_headers(looked: FilesSurvey) -> None:
    """Raise an error if two files have different headers, ignoring case."""
    by_path = sorted(looked.headers.items(), key=lambda item: item[1])
    if not by_path:
        return
    (first, first_path), *others = by_path
    for header, path in others:
        # Spark compares headers in lower case. A few letters, such as the long s, are then not equal to their capitals.
        if [(folded(name), name.lower()) for name in header] != [(folded(name), name.lower()) for name in first]:
            raise SourceSchemaError(
                code=ErrorCode.INPUT_HEADERS,
                what=f"input file '{path}' has another header than '{first_path}'",
                got=_difference(header, first),
                expected="the same columns in the same order in all files",
                next_step="Score the files one by one, or write them with the same header."
                if set(map(folded, header)) == set(map(folded, first))
                else "Score the files one by one, or write them with the same header. "
                "'input.options: {enforceSchema: \"true\"}' reads all files with the header of the first one.",
            )


def _difference(header: tuple[str, ...], first: tuple[str, ...]) -> str:
    more, missing = set(header) - set(first), set(first) - set(header)
    parts = [f"also {names(more)}"] if more else []
    parts += [f"no {names(missing)}"] if missing else []
    return " and ".join(parts) or "another order, or a name more than once"
