"""Match the header of CSV files with the declared columns and the partition columns. Runs on the driver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql.types import StructField

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceSchemaError, names
from sparkscore.signature.same_name import doubled_names, folded, keys_of
from sparkscore.survey.declared_texts import is_of_texts


@dataclass(frozen=True)
class CsvColumn:
    """A column of the CSV files, or a partition column.

    Attributes:
        read_as: the name of the column in the schema for Spark's reader.
        name: the name of the column in the rows: the declared name if there is one, otherwise the name in the header or
            the name of the partition column. A column without any name is named ``_c`` plus its position. Underscores
            are appended if the header already contains that name.
        declared: the declared name and type, or None if the column is not declared.
        is_named: False if the column's name in the header is empty or occurs twice, ignoring case. True for all other
            columns, including partition columns and the columns of files without a header.
        is_key: whether the column is a partition column.
    """

    read_as: str
    name: str
    declared: StructField | None = None
    is_named: bool = True
    is_key: bool = False


def find_columns(
    header: Sequence[str], declared: Sequence[StructField] | None, keys: Sequence[str], *, has_header: bool
) -> list[CsvColumn]:
    """Return the columns of the CSV files, in file order, followed by the partition columns.

    Names are matched ignoring case.

    Args:
        header: the values of the first record. There must be at least one.
        declared: the declared columns, or None if none are declared.
        keys: the names of the partition columns.
        has_header: whether the first record contains the names of the columns.

    Raises:
        SourceSchemaError: a declared type cannot be read from a string.
        SourceSchemaError: for files with a header: a declared column is missing from it or occurs twice; no columns are
            declared and a name occurs twice; or the header is a line such as ``sep=;``, which sets the separator for
            spreadsheet programs.
        SourceSchemaError: for files without a header: the number of declared columns, excluding partition columns,
            differs from the number of values.
    """
    _refuse_other_types(declared or ())
    by_key = {folded(field.name): field for field in declared or ()}
    of_keys = [
        CsvColumn(key, field.name if field else key, field, is_key=True)
        for key, field in ((key, by_key.get(folded(key))) for key in keys)
    ]
    folded_keys = {folded(key) for key in keys}
    of_files = None if declared is None else [field for field in declared if folded(field.name) not in folded_keys]
    if not has_header:
        return [*_by_position(len(header), of_files), *of_keys]
    if header[0].lower().startswith("sep=") and not any(header[1:]):
        raise SourceSchemaError(
            code=ErrorCode.INPUT_HEADERS,
            what="the header of the CSV files",
            got=f"'{header[0]}', which tells a spreadsheet program the separator",
            expected="names of columns",
            next_step="Remove that line, for example with 'tail -n +2 OLD > NEW', and set 'input.options.sep' if the "
            "separator is not a comma.",
        )
    named = _named(header)
    return [*(_undeclared(named) if of_files is None else _by_name(named, of_files)), *of_keys]


def _refuse_other_types(declared: Sequence[StructField]) -> None:
    """Raise an error if a declared type, for example an array type, cannot be read from a string."""
    others = [field for field in declared if not is_of_texts(field.dataType.simpleString())]
    if others:
        raise SourceSchemaError(
            code=ErrorCode.INPUT_SCHEMA,
            what=f"'input.schema' declares column '{others[0].name}' of CSV files",
            got=f"type {others[0].dataType.simpleString()}",
            expected="a type that can be written as text: a number, boolean, string, binary, date, timestamp or "
            "timestamp_ntz",
            next_step="Declare it as a string, and parse it in the scoring script.",
        )


def _by_position(width: int, declared: Sequence[StructField] | None) -> list[CsvColumn]:
    """Return the columns of files without a header.

    Each column gets the name and type of the declared column at its position. If no columns are declared, the names are
    ``_c0``, ``_c1`` and so on.

    Raises:
        SourceSchemaError: the number of declared columns differs from the number of values in the first row.
    """
    if declared is None:
        return [CsvColumn(f"_c{position}", f"_c{position}") for position in range(width)]
    if len(declared) != width:
        raise SourceSchemaError(
            code=ErrorCode.INPUT_COLUMNS,
            what=f"'input.schema' declares {len(declared)} columns of CSV files without a header",
            got=f"{width} values in the first row",
            expected="one declared column for each value",
            next_step="Correct 'input.schema', or 'input.options.header'.",
        )
    return [CsvColumn(f"_c{position}", field.name, field) for position, field in enumerate(declared)]


def _named(header: Sequence[str]) -> list[CsvColumn]:
    """Return one column for each value of a header.

    Spark's reader needs a unique name for each column. If a column's name in the header is empty, or occurs more than
    once ignoring case, the reader uses ``_c`` plus the column's position, such as ``_c2``. If the header already
    contains this name, underscores are appended to it.
    """
    doubled = set(doubled_names(name for name in header if name))
    taken = {key for name in header for key in keys_of(name)}
    columns = []
    for position, name in enumerate(header):
        other = f"_c{position}"
        while taken.intersection(keys_of(other)):
            other += "_"
        is_named = bool(name) and name not in doubled
        columns.append(CsvColumn(name if is_named else other, name or other, is_named=is_named))
    return columns


def _undeclared(columns: Sequence[CsvColumn]) -> list[CsvColumn]:
    """Check the names of the columns of an input without 'input.schema', and return the columns unchanged.

    Raises:
        SourceSchemaError: two names are equal or differ only in case.
    """
    if doubled := doubled_names(each.name for each in columns):
        raise _doubled(doubled)
    return list(columns)


def _by_name(columns: Sequence[CsvColumn], declared: Sequence[StructField]) -> list[CsvColumn]:
    """Return the columns of a header, with the declared name and type of each declared column.

    Columns are matched by name, ignoring case as Spark does.

    Raises:
        SourceSchemaError: the header lacks a declared column or contains it twice.
    """
    found = list(columns)
    positions: dict[str, list[int]] = {}
    for position, each in enumerate(columns):
        positions.setdefault(folded(each.name), []).append(position)
    missing = [field.name for field in declared if folded(field.name) not in positions]
    if missing:
        raise SourceSchemaError(
            code=ErrorCode.INPUT_COLUMNS,
            what=f"'input.schema' declares {names(missing)}, which the header of the CSV files does not have",
            got=names(each.name for each in columns),
            next_step="Correct 'input.schema': columns are matched by name, in any order, and may be left out. If the "
            "files have no header, set 'input.options: {header: \"false\"}'.",
        )
    for field in declared:
        first, *others = positions[folded(field.name)]
        if others:
            raise _doubled([columns[position].name for position in (first, *others)])
        found[first] = CsvColumn(columns[first].read_as, field.name, field, columns[first].is_named)
    return found


def _doubled(doubled: Sequence[str]) -> SourceSchemaError:
    return SourceSchemaError(
        code=ErrorCode.INPUT_COLUMN_NAMES,
        what="the csv input has a column name that cannot be told from another",
        got=names(doubled),
        expected="names that differ in more than case",
        next_step="Rename the columns in the input, or declare only the other columns in 'input.schema'.",
    )
