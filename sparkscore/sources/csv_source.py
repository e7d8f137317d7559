"""The source whose items are the rows of CSV files: Spark cuts them into texts, a grammar gives these types (driver).

docs/inputs.md has the grammar.
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
    "date": "days such as 2024-01-31, or 'input.options.dateFormat'",
    "timestamp": "times such as 2024-01-31 10:30:00.123456, or 'input.options.timestampFormat'",
    "timestamp_ntz": "times without a zone such as 2024-01-31 10:30:00.123456, or 'input.options.timestampNTZFormat'",
}


@dataclass(frozen=True)
class _Layout:
    """What is known of the input before its values are looked at.

    Attributes:
        csv: how the files are written.
        columns: the columns of the files, then the keys of their folders.
        declared: the declared columns; None where nothing is declared.
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
        self._frame, order_doubt = self._read(config) if listing.files else (None, "")
        items = None if listing.files else 0
        self._snapshot = snapshot_of_files(config, listing, "csv", items=items, order_doubt=order_doubt)

    @property
    def snapshot(self) -> Snapshot:
        """The pinned input."""
        return self._snapshot

    def frame(self) -> DataFrame | None:
        """Return the rows, each with its file."""
        return self._frame

    def count_nulls(self, columns: Collection[str]) -> Mapping[str, int]:
        """Give what the survey has counted, once there was one; columns that are declared NOT NULL have none."""
        counted = dict.fromkeys(self._not_null, 0)
        for each, found in zip(self._layout.columns, self._surveyed or (), strict=False):
            counted[each.name] = found.nulls
        return {name: counted[name] for name in columns if name in counted}

    def check_contents(self) -> None:
        """Look at all bytes and all values, unless the types were found in them."""
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
                "the CSV files have one column, '%s'; separators may be %r: input.options.sep", columns[0].name, other
            )
        return _Layout(csv, columns, declared)

    def _header(self, csv: CsvFormat) -> tuple[str, ...]:
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
        """Look at the files, once."""
        if self._surveyed is None:
            layout, files = self._layout, self._files.files
            check_files(self._files.spark, files, layout.csv)
            texts = self._load_texts(are_texts=True)
            place = texts.metadataColumn("_metadata").getField("file_path")
            wanted = texts.select(*(column(each.read_as) for each in layout.columns), place)
            kinds = [self._looked_for(each) for each in layout.columns]
            try:
                self._surveyed = survey_columns(self._files.spark, wanted, kinds, layout.csv)
            except SourceError:
                width = sum(not each.is_key for each in layout.columns)
                refuse_uneven_row(files, layout.csv.dialect, width, layout.columns[0].name)
                raise
        return self._surveyed

    def _looked_for(self, each: CsvColumn) -> str:
        """Name the type that all values must have; an empty text where it is to be found."""
        csv = self._layout.csv
        if each.declared is not None:
            kind = each.declared.dataType.simpleString()
            return "string" if kind in csv.has_form else kind
        return "" if self._layout.declared is None and csv.finds_types and not each.is_key else "string"

    def _fields(self) -> list[tuple[str, CsvColumn, DataType]]:
        """Give the input's columns in their order: name, column of the files, type."""
        layout = self._layout
        if layout.declared is not None:
            by_name = {each.name: each for each in layout.columns if each.declared is not None}
            told = [(field.name, by_name[field.name], field.dataType) for field in layout.declared]
            return [*told, *((each.name, each, StringType()) for each in layout.columns if _is_bare_key(each))]
        return self._found_fields(self._survey())

    def _found_fields(self, survey: list[ColumnSurvey]) -> list[tuple[str, CsvColumn, DataType]]:
        layout = self._layout
        both = list(zip(layout.columns, survey, strict=True))
        empty = [each.name for each, found in both if layout.csv.finds_types and not (each.is_named or found.seen)]
        kept = [(each, type_of(found.seen)) for each, found in both if each.name not in empty]
        types = schema_of({each.name: kind for each, kind in kept})
        if layout.csv.finds_types:
            _tell(types, empty, layout.csv)
        return [(each.name, each, field.dataType) for (each, _), field in zip(kept, types, strict=True)]

    def _values(self, fields: list[tuple[str, CsvColumn, DataType]]) -> DataFrame:
        rows = with_source_file(self._load_texts(are_texts=False))
        values = [
            (
                column(each.read_as)
                if self._is_read_by_spark(each)
                else value_of(column(each.read_as), name, kind, self._layout.csv.zone)
            ).alias(name)
            for name, each, kind in fields
        ]
        return rows.select(*values, *map(column, HIDDEN_COLUMNS))

    def _load_texts(self, *, are_texts: bool) -> DataFrame:
        """Give the rows as texts, but for values that have a form of the user's, which Spark reads."""
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
        # With enforceSchema=false Spark compares the headers once more; it needs a name of its own for each column.
        compares = layout.csv.compares_headers and all(each.is_named for each in layout.columns)
        options = {**layout.csv.options, "enforceschema": "false" if compares else "true"}
        return replace(self._files, options=options).load(schema)

    def _is_read_by_spark(self, each: CsvColumn) -> bool:
        kind = "" if each.declared is None else each.declared.dataType.simpleString()
        return kind in self._layout.csv.read_by_spark and not each.is_key

    def _order_doubt(self, config: Input) -> str:
        """Return why the columns may be in another order in some files, or an empty text if they are not."""
        layout = self._layout
        if layout.declared is None and not layout.csv.compares_headers and len(self._files.files) > 1:
            return "the option 'enforceSchema' leaves the headers of the files uncompared"
        return "" if config.columns else doubt_of_keys([each.name for each in layout.columns if _is_bare_key(each)])


def _is_bare_key(each: CsvColumn) -> bool:
    return each.is_key and each.declared is None


def _tell(types: StructType, left_out: list[str], csv: CsvFormat) -> None:
    """Say which types were found, as the declaration that says the same."""
    if left_out:
        logger.info("columns without a name and without a value are left out: %s", names(left_out))
    if csv.has_form:
        logger.warning("the form of %s values is for declared columns: declare 'input.schema'", names(csv.has_form))
    ddl = json.dumps(to_ddl(to_arrow(types)), ensure_ascii=False)
    logger.info("types found in the CSV files; the same, declared: input.schema: %s", ddl)


def _check_values(declared: StructField, found: ColumnSurvey) -> None:
    kind = declared.dataType.simpleString()
    if found.misfits:
        raise SourceError(
            code=ErrorCode.INPUT_VALUE,
            what=f"column '{declared.name}' of input file '{found.file}', which 'input.schema' declares as {kind}",
            got=f"{found.misfits:,} texts in the input that this type does not hold exactly",
            expected=_HINTS.get(kind, f"values that {kind} holds exactly"),
            next_step="Declare a type that holds them (a string holds any), or correct the file.",
        )
    if found.nulls and not declared.nullable:
        raise SourceSchemaError(
            code=ErrorCode.INPUT_NULL,
            what=f"column '{declared.name}', which 'input.schema' declares NOT NULL",
            got=f"{found.nulls:,} empty values",
            expected="none",
            next_step="Declare it without NOT NULL, or correct the files.",
        )
