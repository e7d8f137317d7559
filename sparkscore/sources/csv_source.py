"""The source whose items are the rows of CSV files (driver).

Spark splits the rows into strings. sparkscore finds or checks their types by the grammar in docs/inputs.md.
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
from sparkscore.sources.csv_survey import check_files, other_separator, refuse_uneven_row, survey_columns
from sparkscore.sources.csv_values import value_of
from sparkscore.sources.declaration import declared_schema, not_null_columns
from sparkscore.sources.rows import pinned_reads, select_columns, with_source_file
from sparkscore.sources.samples import check_files_unchanged
from sparkscore.sources.spark_files import doubt_of_keys, list_readable_files, open_files, snapshot_of_files
from sparkscore.spark.schema import column, schema_of, to_arrow
from sparkscore.survey.csv_header import first_record
from sparkscore.survey.csv_values import ColumnSurvey
from sparkscore.survey.text_types import type_of

logger = logging.getLogger("sparkscore")

_HINTS: Final = {
    "boolean": "true or false",
    "date": "dates such as 2024-01-31, or a pattern in 'input.options.dateFormat'",
    "timestamp": "times such as 2024-01-31 10:30:00.123456, or a pattern in 'input.options.timestampFormat'",
    "timestamp_ntz": "times without a zone such as 2024-01-31 10:30:00.123456, or a pattern in "
    "'input.options.timestampNTZFormat'",
}


@dataclass(frozen=True)
class _Layout:
    """The columns of the input, before the values are read.

    Attributes:
        csv: how the files are written.
        columns: the columns of the files, then the keys of their partition folders.
        declared: the declared columns, or None if none are declared.
    """

    csv: CsvFormat
    columns: list[CsvColumn]
    declared: StructType | None


class CsvSource:
    """The rows of CSV files."""

    def __init__(self, spark: SparkSession, config: Input) -> None:
        listing = list_readable_files(spark, config.location)
        self._files = open_files(spark, listing, "csv", config.options)
        self._not_null: frozenset[str] = frozenset()
        self._surveyed: list[ColumnSurvey] | None = None
        self._frame: DataFrame | None = None
        order_doubt = ""
        if listing.files:
            self._frame, order_doubt = self._read(config)
        items = None if listing.files else 0
        self._snapshot = snapshot_of_files(config, listing, "csv", items=items, order_doubt=order_doubt)

    @property
    def snapshot(self) -> Snapshot:
        """The description of the input as it was when it was opened."""
        return self._snapshot

    def frame(self) -> DataFrame | None:
        """Return the rows, each with its file."""
        return self._frame

    def count_nulls(self, columns: Collection[str]) -> Mapping[str, int]:
        """Return the number of NULLs by column, if the files were surveyed already.

        Columns that are declared NOT NULL have none.
        """
        counted = dict.fromkeys(self._not_null, 0)
        for each, found in zip(self._layout.columns, self._surveyed or (), strict=False):
            counted[each.name] = found.nulls
        return {name: counted[name] for name in columns if name in counted}

    def check_contents(self) -> None:
        """Read all files and check each value against its declared type.

        If no types are declared, the files were checked when the types were found.

        Raises:
            SourceError: a file cannot be read as CSV, or a value does not have the declared type.
            SourceSchemaError: a column that is declared NOT NULL has an empty value.
        """
        for each, found in zip(self._layout.columns, self._survey(), strict=True):
            if each.declared is not None:
                _check_values(each.declared, found)

    def check_unchanged(self) -> None:
        """Compare the files with the listing."""
        check_files_unchanged(self._files.files)

    def _read(self, config: Input) -> tuple[DataFrame, str]:
        """Return the rows, and why the order of their columns is in doubt."""
        with pinned_reads(self._files.spark, "csv"):
            self._layout = self._find_layout(config)
            fields = self._fields()
            check_column_names([name for name, _, _ in fields], "csv")
            return select_columns(self._values(fields), config.columns, "csv"), self._order_doubt(config)

    def _find_layout(self, config: Input) -> _Layout:
        """Match the header of the files with the declared columns."""
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
        """Return the first record of the first file that has one.

        Raises:
            SourceNotFoundError: no file has a record.
        """
        files = self._files.files
        found = (first_record(file.path, csv.dialect) for file in files)
        header = next((record for record in found if record is not None), None)
        if header is None:
            check_files(self._files.spark, files, csv)
            raise SourceNotFoundError(
                code=ErrorCode.INPUT_EMPTY,
                what=f"the CSV input has no row in {len(files)} files, among them '{files[0].path}'",
                next_step="Check --input and 'input.format'.",
            )
        return header

    def _survey(self) -> list[ColumnSurvey]:
        """Check all files and survey the values of each column, the first time that this is called."""
        if self._surveyed is None:
            layout, files = self._layout, self._files.files
            check_files(self._files.spark, files, layout.csv)
            texts = self._load_texts(are_texts=True)
            path = texts.metadataColumn("_metadata").getField("file_path")
            wanted = texts.select(*(column(each.read_as) for each in layout.columns), path)
            types = [self._required_type(each) for each in layout.columns]
            try:
                self._surveyed = survey_columns(self._files.spark, wanted, types, layout.csv)
            except SourceError:
                width = sum(not each.is_key for each in layout.columns)
                refuse_uneven_row(files, layout.csv.dialect, width, layout.columns[0].name)
                raise
        return self._surveyed

    def _required_type(self, each: CsvColumn) -> str:
        """Return the type that all values of a column must have, or an empty text if the survey is to find it.

        Values with a pattern are surveyed as strings, since only Spark can read them.
        """
        csv = self._layout.csv
        if each.declared is not None:
            declared_type = each.declared.dataType.simpleString()
            return "string" if declared_type in csv.has_pattern else declared_type
        return "" if self._layout.declared is None and csv.finds_types and not each.is_key else "string"

    def _fields(self) -> list[tuple[str, CsvColumn, DataType]]:
        """Return the columns of the input in their order: the name, the column of the files, and the type of each."""
        layout = self._layout
        if layout.declared is not None:
            by_name = {each.name: each for each in layout.columns if each.declared is not None}
            declared = [(field.name, by_name[field.name], field.dataType) for field in layout.declared]
            keys = [(each.name, each, StringType()) for each in layout.columns if _is_undeclared_key(each)]
            return [*declared, *keys]
        return self._found_fields(self._survey())

    def _found_fields(self, survey: list[ColumnSurvey]) -> list[tuple[str, CsvColumn, DataType]]:
        """Return the columns with the types of their values, without the columns that have no name and no value."""
        layout = self._layout
        both = list(zip(layout.columns, survey, strict=True))
        empty = [each.name for each, found in both if layout.csv.finds_types and not (each.is_named or found.seen)]
        kept = [(each, type_of(found.seen)) for each, found in both if each.name not in empty]
        types = schema_of({each.name: found_type for each, found_type in kept})
        if layout.csv.finds_types:
            _log_types(types, empty, layout.csv)
        return [(each.name, each, field.dataType) for (each, _), field in zip(kept, types, strict=True)]

    def _values(self, fields: list[tuple[str, CsvColumn, DataType]]) -> DataFrame:
        """Return the rows with values of the given types, each row with its file."""
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
        """Read the rows as strings.

        Args:
            are_texts: whether all columns are strings. Otherwise Spark converts the columns that only it can read.
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
        # With enforceSchema=false Spark compares the headers once more, for which all names must differ.
        compares = layout.csv.compares_headers and all(each.is_named for each in layout.columns)
        options = {**layout.csv.options, "enforceschema": "false" if compares else "true"}
        return replace(self._files, options=options).load(schema)

    def _is_read_by_spark(self, each: CsvColumn) -> bool:
        """Whether Spark converts the values of a column: the options have a pattern or special texts for them."""
        declared_type = "" if each.declared is None else each.declared.dataType.simpleString()
        return declared_type in self._layout.csv.read_by_spark and not each.is_key

    def _order_doubt(self, config: Input) -> str:
        """Return why the columns may be in another order in some files, or an empty text if they are not."""
        layout = self._layout
        if layout.declared is None and not layout.csv.compares_headers and len(self._files.files) > 1:
            return "with the option 'enforceSchema' the headers of the files are not compared"
        keys = [each.name for each in layout.columns if _is_undeclared_key(each)]
        return "" if config.columns else doubt_of_keys(keys)


def _is_undeclared_key(each: CsvColumn) -> bool:
    return each.is_key and each.declared is None


def _log_types(types: StructType, left_out: list[str], csv: CsvFormat) -> None:
    """Log the types that were found, as an 'input.schema' that declares the same types."""
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
    """Raise an error if the values of a column do not have its declared type, or if it has a NULL but must not."""
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
