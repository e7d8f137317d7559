"""Read CSV files whose rows are the items of a run. Runs on the driver.

Spark's CSV reader splits the rows into strings. sparkscore infers or checks the column types by the rules in
``docs/inputs.md``, and converts the strings to these types. Spark's reader itself converts declared columns of the
files in two cases:

- The options set a pattern, such as 'dateFormat', for the declared type.
- The declared type is ``float`` or ``double``, and the options set strings for NaN or infinity.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import DataType, StringType, StructField, StructType

from sparkscore.config import Input
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError, SourceNotFoundError, SourceSchemaError, names
from sparkscore.minibatch import HIDDEN_COLUMNS
from sparkscore.plan import Snapshot
from sparkscore.signature.naming import to_ddl
from sparkscore.sources.agreement import check_against_files, check_column_names
from sparkscore.sources.csv_columns import CsvColumn, find_columns
from sparkscore.sources.csv_format import CsvFormat, csv_format
from sparkscore.sources.csv_survey import check_and_survey, other_separator, refuse_uneven_row, survey_columns
from sparkscore.sources.csv_values import value_of
from sparkscore.sources.declaration import declared_schema, not_null_columns
from sparkscore.sources.planned_rows import PlannedRows
from sparkscore.sources.rows import input_schema, pinned_reads, select_columns, with_source_file
from sparkscore.sources.samples import check_files_unchanged
from sparkscore.sources.spark_files import doubt_of_keys, list_readable_files, open_files, snapshot_of_files
from sparkscore.spark.schema import column, schema_of, to_arrow
from sparkscore.survey.csv_header import first_record
from sparkscore.survey.csv_values import ColumnSurvey
from sparkscore.survey.text_types import type_of

logger = logging.getLogger("sparkscore")

# Splitting smaller files would not save time: Spark starts with parts of 4 MB and joins them to tasks of up to 128 MB.
_LEAST_SPLIT_BYTES: Final = 16 * 1024 * 1024
# In these encodings, the bytes of a line end are never part of another character.
_SPLIT_ENCODINGS: Final = frozenset({"utf-8", "ascii", "iso8859-1"})
_HINTS: Final = {
    "boolean": "true or false",
    "date": "dates such as 2024-01-31, or a pattern in 'input.options.dateFormat'",
    "timestamp": "times such as 2024-01-31 10:30:00.123456, or a pattern in 'input.options.timestampFormat'",
    "timestamp_ntz": "times without a zone such as 2024-01-31 10:30:00.123456, or a pattern in "
    "'input.options.timestampNTZFormat'",
}


@dataclass(frozen=True)
class _Layout:
    """The format and columns of the CSV files.

    Attributes:
        csv: the format of the files.
        columns: the columns of the files, followed by the partition columns.
        declared: the declared columns, or None if none are declared.
    """

    csv: CsvFormat
    columns: list[CsvColumn]
    declared: StructType | None


class CsvSource:
    """A source whose items are the rows of CSV files."""

    def __init__(self, spark: SparkSession, config: Input) -> None:
        listing = list_readable_files(spark, config.location)
        self._files = open_files(spark, listing, "csv", config.options)
        self._not_null: frozenset[str] = frozenset()
        self._surveyed: list[ColumnSurvey] | None = None
        self._has_lines = False
        self._frame: DataFrame | None = None
        order_doubt = ""
        if listing.files:
            self._frame, order_doubt = self._read(config)
        items = None if listing.files else 0
        self._snapshot = snapshot_of_files(config, listing, "csv", items=items, order_doubt=order_doubt)

    @property
    def snapshot(self) -> Snapshot:
        """A description of the input, including the files that were listed when it was opened."""
        return self._snapshot

    def columns(self) -> StructType | None:
        """Return the columns of the rows, or None if the input has no files."""
        return None if self._frame is None else input_schema(self._frame)

    def frame(self) -> DataFrame | None:
        """Return the rows, with each row's source file in a hidden column, or None if the input has no files."""
        return self._frame

    def planned_rows(self) -> PlannedRows | str:
        """Return the reason why workers do not read the rows themselves."""
        return "the input has the format csv"

    def count_nulls(self, columns: Collection[str]) -> Mapping[str, int]:
        """Return the NULL counts of the given columns.

        NULLs are counted when the input is opened or, if columns are declared, by `check_contents`. Until then, only
        columns declared NOT NULL have a count, which is 0. Columns without a count are left out.
        """
        counted = dict.fromkeys(self._not_null, 0)
        for each, found in zip(self._layout.columns, self._surveyed or (), strict=False):
            counted[each.name] = found.nulls
        return {name: counted[name] for name in columns if name in counted}

    def check_contents(self) -> None:
        """Check that values fit the declared types, and that columns declared NOT NULL have no NULL.

        If the options set a pattern for a column's type, only Spark can parse the column's values. Spark then checks
        them when it reads the rows.

        Raises:
            SourceError: a file cannot be read as CSV, or a value does not fit the declared type of its column.
            SourceSchemaError: a column declared NOT NULL has a NULL, or the files have different headers.
            ScoringError: a Spark job that reads the files failed.
        """
        for each, found in zip(self._layout.columns, self._survey(), strict=True):
            if each.declared is not None:
                _check_values(each.declared, found)

    def check_unchanged(self) -> None:
        """Check that no file has changed since it was listed.

        Raises:
            SourceError: a file has changed or no longer exists.
        """
        check_files_unchanged(self._files.files)

    def _read(self, config: Input) -> tuple[DataFrame, str]:
        """Return the rows, and the reason why their column order is uncertain (an empty string if it is certain)."""
        with pinned_reads(self._files.spark, "csv"):
            self._layout = self._find_layout(config)
            fields = self._fields()
            check_column_names([name for name, _, _ in fields], "csv")
            return select_columns(self._values(fields), config.columns, "csv"), self._order_doubt(config)

    def _find_layout(self, config: Input) -> _Layout:
        """Match the header of the CSV files with the declared columns, and return the format and columns of the files.

        Also set `self._not_null`, and log a warning if the name of the only column contains a likely separator.
        """
        csv = csv_format(config.options)
        keys = self._files.keys
        declared = declared_schema(config.schema_ddl)
        self._not_null = not_null_columns(declared)
        columns = find_columns(
            self._header(csv), None if declared is None else declared.fields, keys, has_header=csv.has_header
        )
        check_against_files(keys, None, [each.name for each in columns if not each.is_key], "csv")
        if len(columns) == 1 and (other := other_separator(columns[0].name)):
            logger.warning(
                "the CSV files have one column, '%s'. If %r is the separator, set 'input.options.sep'",
                columns[0].name,
                other,
            )
        return _Layout(csv, columns, declared)

    def _header(self, csv: CsvFormat) -> tuple[str, ...]:
        """Return the values of the input's first record, from the first file that has a record.

        Raises:
            SourceNotFoundError: no record was found.
            SourceError: no record was found, and a file has a fault, such as bytes that are invalid in its encoding.
        """
        files = self._files.files
        found = (first_record(file.path, csv.dialect) for file in files)
        header = next((record for record in found if record is not None), None)
        if header is None:
            check_and_survey(self._files.spark, files, csv, (), self._files.key_values)
            raise SourceNotFoundError(
                code=ErrorCode.INPUT_EMPTY,
                what=f"the CSV input has no row in {len(files)} files, among them '{files[0].path}'",
                next_step="Check --input and 'input.format'.",
            )
        return header

    def _survey(self) -> list[ColumnSurvey]:
        """Check all files, and return a summary of each column's values.

        Only the first call reads the files. Later calls return the same summaries.

        Raises:
            SourceError: a file cannot be read as CSV.
            SourceSchemaError: the files have different headers.
            ScoringError: a Spark job that reads the files failed.
        """
        if self._surveyed is None:
            layout, files = self._layout, self._files.files
            types = [self._required_type(each) for each in layout.columns]
            found = check_and_survey(self._files.spark, files, layout.csv, types, self._files.key_values)
            self._has_lines = found.has_lines
            self._surveyed = found.columns or self._survey_with_spark(types)
        return self._surveyed

    def _survey_with_spark(self, types: list[str]) -> list[ColumnSurvey]:
        """Parse the files with Spark, and return a summary of each column's values."""
        layout, files = self._layout, self._files.files
        texts = self._load_texts(are_texts=True)
        path = texts.metadataColumn("_metadata").getField("file_path")
        wanted = texts.select(*(column(each.read_as) for each in layout.columns), path)
        try:
            return survey_columns(self._files.spark, wanted, types, layout.csv)
        except SourceError:
            width = sum(not each.is_key for each in layout.columns)
            refuse_uneven_row(files, layout.csv.dialect, width, layout.columns[0].name)
            raise

    def _required_type(self, each: CsvColumn) -> str:
        """Return the name of the type that a column's values must fit, or an empty string to infer the type.

        For a declared column, this is the declared type. If the options set a pattern for that type, it is ``string``
        instead, because only Spark can parse values with a pattern.

        For an undeclared column, it is ``string`` in any of these cases: the column is a partition column, other
        columns are declared, or 'inferSchema' is false. Otherwise, it is an empty string.
        """
        csv = self._layout.csv
        if each.declared is not None:
            declared_type = each.declared.dataType.simpleString()
            return "string" if declared_type in csv.has_pattern else declared_type
        return "" if self._layout.declared is None and csv.finds_types and not each.is_key else "string"

    def _fields(self) -> list[tuple[str, CsvColumn, DataType]]:
        """Return the name, the `CsvColumn` and the type of each column of the input.

        If columns are declared, these are the declared columns, followed by the undeclared partition columns as
        strings. Otherwise, they are the columns that `_found_fields` returns.
        """
        layout = self._layout
        if layout.declared is not None:
            by_name = {each.name: each for each in layout.columns if each.declared is not None}
            declared = [(field.name, by_name[field.name], field.dataType) for field in layout.declared]
            keys = [(each.name, each, StringType()) for each in layout.columns if _is_undeclared_key(each)]
            return [*declared, *keys]
        return self._found_fields(self._survey())

    def _found_fields(self, survey: list[ColumnSurvey]) -> list[tuple[str, CsvColumn, DataType]]:
        """Return the name, the `CsvColumn` and the inferred type of each column.

        Partition columns are strings. If 'inferSchema' is false, all other columns are strings as well. Otherwise,
        columns with neither a name nor a value are left out, and the types are logged.
        """
        layout = self._layout
        both = list(zip(layout.columns, survey, strict=True))
        empty = [each.name for each, found in both if layout.csv.finds_types and not (each.is_named or found.seen)]
        kept = [(each, type_of(found.seen)) for each, found in both if each.name not in empty]
        types = schema_of({each.name: found_type for each, found_type in kept})
        if layout.csv.finds_types:
            _log_types(types, empty, layout.csv)
        return [(each.name, each, field.dataType) for (each, _), field in zip(kept, types, strict=True)]

    def _values(self, fields: list[tuple[str, CsvColumn, DataType]]) -> DataFrame:
        """Return the rows with the given columns, converted to the given types, followed by the hidden columns."""
        rows = with_source_file(self._load_texts(are_texts=False))
        values = [
            (
                column(each.read_as)
                if self._is_read_by_spark(each)
                else value_of(column(each.read_as), name, data_type, self._layout.csv.zone)
            ).alias(name)
            for name, each, data_type in fields
        ]
        return rows.select(*values, *map(column, HIDDEN_COLUMNS))

    def _load_texts(self, *, are_texts: bool) -> DataFrame:
        """Return the rows with all columns as strings, or with some columns converted by Spark.

        Args:
            are_texts: whether all columns are strings. If False, Spark's reader converts the columns for which
                `_is_read_by_spark` returns True.
        """
        layout = self._layout
        schema = StructType(
            [
                StructField(
                    each.read_as,
                    each.declared.dataType
                    if each.declared is not None and self._is_read_by_spark(each) and not are_texts
                    else StringType(),
                )
                for each in layout.columns
            ]
        )
        # With enforceSchema=false Spark compares the headers as well. For that, the names in a header must differ.
        compares = layout.csv.compares_headers and all(each.is_named for each in layout.columns)
        options = {**layout.csv.options, "enforceschema": "false" if compares else "true"}
        if self._is_read_by_lines(are_texts=are_texts):
            options["multiline"] = "false"
        return replace(self._files, options=options).load(schema)

    def _is_read_by_lines(self, *, are_texts: bool) -> bool:
        """Return whether Spark reads the files line by line, which lets several tasks read one file.

        This is the case if a file is large, and each line of each file is one row.
        """
        csv, largest = self._layout.csv, max(file.size_bytes for file in self._files.files)
        is_plain = csv.is_cut_as_usual and csv.dialect.encoding in _SPLIT_ENCODINGS
        if largest < _LEAST_SPLIT_BYTES or not is_plain:
            return False
        if not are_texts:
            self._survey()
        return self._has_lines

    def _is_read_by_spark(self, each: CsvColumn) -> bool:
        """Return whether Spark's reader, rather than sparkscore, converts the values of a column.

        Spark does so if the options set a pattern for the column's declared type, or if that type is ``float`` or
        ``double`` and the options set strings for NaN or infinity. Spark never converts partition columns.
        """
        declared_type = "" if each.declared is None else each.declared.dataType.simpleString()
        return declared_type in self._layout.csv.read_by_spark and not each.is_key

    def _order_doubt(self, config: Input) -> str:
        """Return the reason why the column order is uncertain, or an empty string if it is certain.

        The order is uncertain in two cases:

        - There are several files, no columns are declared, and headers are not compared ('enforceSchema: true').
        - There is an undeclared partition column, and 'input.columns' does not set the order.
        """
        layout = self._layout
        if layout.declared is None and not layout.csv.compares_headers and len(self._files.files) > 1:
            return "with the option 'enforceSchema' the headers of the files are not compared"
        keys = [each.name for each in layout.columns if _is_undeclared_key(each)]
        return "" if config.columns else doubt_of_keys(keys)


def _is_undeclared_key(each: CsvColumn) -> bool:
    return each.is_key and each.declared is None


def _log_types(types: StructType, left_out: list[str], csv: CsvFormat) -> None:
    """Log the inferred types in the form of an 'input.schema', and the names of the columns that are left out.

    If the options set a pattern, also log a warning, because patterns are used only for declared columns.
    """
    if left_out:
        logger.info("columns without a name and without a value are left out: %s", names(left_out))
    if csv.has_pattern:
        logger.warning(
            "the pattern for %s values is used only for declared columns: declare 'input.schema'",
            names(csv.has_pattern),
        )
    ddl = json.dumps(to_ddl(to_arrow(types)), ensure_ascii=False)
    logger.info("types found in the CSV files; to declare the same types, set input.schema: %s", ddl)


def _check_values(declared: StructField, found: ColumnSurvey) -> None:
    """Check that the values of a column fit its declared type, and that a NOT NULL column has no NULL.

    Args:
        declared: the declared name and type of the column.
        found: the summary of its values.

    Raises:
        SourceError: a value does not fit the declared type.
        SourceSchemaError: the column is declared NOT NULL and has a NULL.
    """
    declared_type = declared.dataType.simpleString()
    if found.misfits:
        raise SourceError(
            code=ErrorCode.INPUT_VALUE,
            what=f"column '{declared.name}' of input file '{found.file}', which 'input.schema' declares as "
            f"{declared_type}",
            got=f"{found.misfits:,} texts in the input that this type does not hold exactly",
            expected=_HINTS.get(declared_type, f"values that {declared_type} holds exactly"),
            next_step="Declare a type that holds them (a string holds any text), or correct the file.",
        )
    if found.nulls and not declared.nullable:
        raise SourceSchemaError(
            code=ErrorCode.INPUT_NULL,
            what=f"column '{declared.name}', which 'input.schema' declares NOT NULL",
            got=f"{found.nulls:,} empty values",
            expected="none",
            next_step="Declare it without NOT NULL, or correct the files.",
        )
