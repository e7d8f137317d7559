"""Find the columns of CSV files by their names: those of the header, of a declaration, of folders' keys (driver)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql.types import StructField

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceSchemaError, names
from sparkscore.signature.same_name import doubled_names, folded
from sparkscore.survey.declared_texts import is_of_texts


@dataclass(frozen=True)
class CsvColumn:
    """A column of the files, or a key of their folders.

    Attributes:
        read_as: its name for Spark's reader.
        name: its name in the input: as the header has it, or a declaration.
        declared: the declared field; None where there is none.
        is_named: whether the header has a name for it and for no other column.
        is_key: whether it is a key of folders.
    """

    read_as: str
    name: str
    declared: StructField | None = None
    is_named: bool = True
    is_key: bool = False


def find_columns(
    header: Sequence[str], declared: Sequence[StructField] | None, keys: Sequence[str], *, has_header: bool
) -> list[CsvColumn]:
    """Give the columns of the files in their order, then the keys of their folders.

    Args:
        header: the values of the first record.
        declared: the declared columns; None where nothing is declared.
        keys: the keys of folders.
        has_header: whether the first record has names.

    Raises:
        SourceSchemaError: a name stands twice, a declared column is not there, or has a type that texts do not have.
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
            got=f"'{header[0]}', which tells a spreadsheet how values are separated",
            expected="names of columns",
            next_step="Remove that line, as 'tail -n +2 OLD > NEW' does, and set 'input.options.sep' if the sign is no "
            "comma.",
        )
    named = _named(header)
    return [*(_undeclared(named) if of_files is None else _by_name(named, of_files)), *of_keys]


def _refuse_other_types(declared: Sequence[StructField]) -> None:
    others = [field for field in declared if not is_of_texts(field.dataType.simpleString())]
    if others:
        raise SourceSchemaError(
            code=ErrorCode.INPUT_SCHEMA,
            what=f"'input.schema' declares column '{others[0].name}' of CSV files",
            got=f"type {others[0].dataType.simpleString()}",
            expected="a type that a text can stand for: a number, boolean, string, binary, date, timestamp or "
            "timestamp_ntz",
            next_step="Declare it as a string, and let the scoring script read it.",
        )


def _by_position(width: int, declared: Sequence[StructField] | None) -> list[CsvColumn]:
    if declared is None:
        return [CsvColumn(f"_c{place}", f"_c{place}") for place in range(width)]
    if len(declared) != width:
        raise SourceSchemaError(
            code=ErrorCode.INPUT_COLUMNS,
            what=f"'input.schema' declares {len(declared)} columns of CSV files without a header",
            got=f"{width} values in the first row",
            expected="one column for each",
            next_step="Correct 'input.schema', or 'input.options.header'.",
        )
    return [CsvColumn(f"_c{place}", field.name, field) for place, field in enumerate(declared)]


def _named(header: Sequence[str]) -> list[CsvColumn]:
    """Give each column a name for Spark's reader that no other column has."""
    doubled = set(doubled_names(name for name in header if name))
    columns = []
    for place, name in enumerate(header):
        other = f"_c{place}"
        while other in header:
            other += "_"
        is_named = bool(name) and name not in doubled
        columns.append(CsvColumn(name if is_named else other, name or other, is_named=is_named))
    return columns


def _undeclared(columns: Sequence[CsvColumn]) -> list[CsvColumn]:
    if doubled := doubled_names(each.name for each in columns):
        raise _doubled(doubled)
    return list(columns)


def _by_name(columns: Sequence[CsvColumn], declared: Sequence[StructField]) -> list[CsvColumn]:
    """Give the declared columns their declarations; names that differ in case only are the same, as Spark has it."""
    found = list(columns)
    places: dict[str, list[int]] = {}
    for place, each in enumerate(columns):
        places.setdefault(folded(each.name), []).append(place)
    missing = [field.name for field in declared if folded(field.name) not in places]
    if missing:
        raise SourceSchemaError(
            code=ErrorCode.INPUT_COLUMNS,
            what=f"'input.schema' declares {names(missing)}, which the header of the CSV files does not have",
            got=names(each.name for each in columns),
            next_step="Correct 'input.schema': columns are found by their names, in any order, and it may leave some "
            "out. If the files have no header, set 'input.options: {header: \"false\"}'.",
        )
    for field in declared:
        at = places[folded(field.name)]
        if len(at) > 1:
            raise _doubled([columns[place].name for place in at])
        found[at[0]] = CsvColumn(columns[at[0]].read_as, field.name, field, columns[at[0]].is_named)
    return found


def _doubled(doubled: Sequence[str]) -> SourceSchemaError:
    return SourceSchemaError(
        code=ErrorCode.INPUT_COLUMN_NAMES,
        what="the csv input has a column name that cannot be told from another",
        got=names(doubled),
        expected="names that differ in more than case",
        next_step="Rename the columns in the input, or declare the others only in 'input.schema'.",
    )
