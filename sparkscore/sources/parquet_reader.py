"""Decide whether the workers can read Parquet files themselves, as Spark's reader would. Runs on the driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa
from pyspark.sql.types import StructType, UserDefinedType

from sparkscore.errors import SourceSchemaError
from sparkscore.parquet import ColumnRead, FileKeys, FolderKeys, ParquetReader
from sparkscore.parquet.conversion import find_conversions
from sparkscore.parquet.stored import UnreadableError
from sparkscore.plan import InputFile
from sparkscore.sources.footers import Footer
from sparkscore.sources.parquet_schema import check_types_of_spark
from sparkscore.sources.reader_options import find_option
from sparkscore.spark.schema import to_arrow

# Spark pads values of char(n) when it reads them.
_CHAR: Final = "__CHAR_VARCHAR_TYPE_STRING"
_REBASE_MODES: Final = ("datetimeRebaseMode", "int96RebaseMode")


def choose_reader(
    files: Sequence[InputFile],
    footers: Sequence[Footer | None],
    schema: StructType,
    keys: FileKeys | FolderKeys | None = None,
    options: Mapping[str, str] | None = None,
) -> ParquetReader | str:
    """Return the reader with which the workers read the files, or the reason why Spark must read them.

    Args:
        files: the files.
        footers: the footer of each file, or None for a footer that cannot be read.
        schema: the columns of the rows as Spark's reader would give them, without hidden columns.
        keys: the partition columns, or None if there are none.
        options: the options for Spark's reader.
    """
    try:
        _check_schema(schema)
        firsts = {id(footer): (file, footer) for file, footer in reversed(list(zip(files, footers, strict=True)))}
        columns = _columns_of(schema, keys, [footer for _, footer in firsts.values() if footer is not None])
        _check_options(options or {})
        stored = {column.name: column.type for column in columns if keys is None or column.name not in keys.names}
        for file, footer in firsts.values():
            _check_file(file, footer, stored)
    except UnreadableError as error:
        return str(error)
    except SourceSchemaError as error:
        return error.sentence
    return ParquetReader(columns, keys)


def _columns_of(
    schema: StructType, keys: FileKeys | FolderKeys | None, footers: Sequence[Footer]
) -> tuple[ColumnRead, ...]:
    """Return the columns to read, and for each one whether every file with rows contains it.

    Args:
        schema: the columns of the rows.
        keys: the partition columns, whose values are not in the files, or None if there are none.
        footers: the distinct footers.
    """
    of_files = [footer.columns.keys() for footer in footers if not footer.is_empty]
    everywhere = frozenset[str]().union(*of_files).intersection(*of_files) - frozenset(keys.names if keys else ())
    return tuple(
        ColumnRead(field.name, field.type, field.nullable, field.name in everywhere) for field in to_arrow(schema)
    )


def _check_options(options: Mapping[str, str]) -> None:
    """Raise an `UnreadableError` if an option may change the values that Spark's reader gives."""
    for name in _REBASE_MODES:
        if (found := find_option(options, name)) and found.upper() != "CORRECTED":
            raise UnreadableError(f"'input.options' has {name}: {found}")
    if found := next((name for name in options if "." in name), None):
        raise UnreadableError(f"'input.options' has an option for Hadoop, {found}")


def _check_schema(schema: StructType) -> None:
    """Raise an `UnreadableError` if a column is of type char or varchar, or of a user-defined type of Spark."""
    for field in schema:
        if isinstance(field.dataType, UserDefinedType) or _CHAR in field.metadata:
            raise UnreadableError(f"column '{field.name}' has a type that only Spark knows")


def _check_file(file: InputFile, footer: Footer | None, columns: Mapping[str, pa.DataType]) -> None:
    """Raise an `UnreadableError` if a file cannot be read exactly as Spark would read it.

    Args:
        file: the file.
        footer: the footer of the file, or None if it cannot be read.
        columns: the types of the columns in the input, without partition columns.
    """
    if footer is None:
        raise UnreadableError(f"the footer of '{file.path}' cannot be read")
    if footer.is_empty:
        return
    try:
        find_conversions(footer.stored, columns)
        check_types_of_spark(footer, columns)
    except UnreadableError as error:
        raise UnreadableError(f"{error} in '{file.path}'") from error
