"""Infer the types of JSON columns from their values, or report why no type can be inferred for a column.

Runs on the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DoubleType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceSchemaError
from sparkscore.sources.schema_line import schema_line
from sparkscore.survey.json_fields import (
    ARRAY,
    BEYOND,
    BOOLEAN,
    HUGE,
    INTEGER,
    LONG,
    NULL,
    OBJECT,
    PRECISE,
    REAL,
    ROUND,
    TEXT,
    FieldSurvey,
)

_NUMBERS: Final = (INTEGER, LONG, ROUND, HUGE, REAL, PRECISE, BEYOND)
_FAMILIES: Final = ((*_NUMBERS,), (TEXT,), (BOOLEAN,), (OBJECT,), (ARRAY,))
# An error is raised for deeper types, because the code that creates schemas from them is recursive.
_DEEPEST: Final = 100
_AS_TEXT: Final = "as text, each as it is written"


@dataclass(frozen=True)
class Doubt:
    """The reason why no type can be inferred for a column, for an error message.

    Attributes:
        column: the name of the column, or the path of values inside it, such as ``column.field`` or ``column[]``.
        got: a phrase with the conflicting types, and the file and line of the first value of each type.
        expected: a phrase for the values that were expected, such as ``values of one type``.
        type: a type that the user can declare for the column instead.
        effect: a phrase that says how values are read with that type.
    """

    column: str
    got: str
    expected: str
    type: str
    effect: str


class TypesOfJson:
    """The inferred types of JSON columns.

    If all values of a column are NULL, or if no type can be inferred, the schema contains Spark's string type. The same
    rule applies to the parts of nested columns.

    Attributes:
        left_out: the columns that Spark leaves out, because their values are objects without fields, or objects and
            arrays that contain only such objects.
        schema: the remaining columns with their types.
    """

    def __init__(self, columns: Mapping[str, FieldSurvey], position_text: Callable[[list[int]], str]) -> None:
        """Infer the type of each column.

        Args:
            columns: a summary of each column's values.
            position_text: a function that returns a phrase with the file and line of a position, for error messages.
        """
        self._columns, self._position_text = columns, position_text
        self._doubts: dict[str, Doubt] = {}
        self._column = ""
        types = {name: self._type_of_column(name) for name in sorted(columns)}
        self.left_out = tuple(name for name, found in types.items() if found is None)
        self.schema = StructType([StructField(name, found) for name, found in types.items() if found is not None])

    def refuse_doubts(self, wanted: Collection[str]) -> None:
        """Raise an error if one of the columns that the run reads has values for which there is no common type.

        Args:
            wanted: names of the columns that the run reads.

        Raises:
            SourceSchemaError: the values of a column have no common type. The message contains the column's name, the
                conflicting types, and the file and line of the first value of each type.
        """
        doubt = next((self._doubts[name] for name in wanted if name in self._doubts), None)
        if doubt is None:
            return
        raise SourceSchemaError(
            code=ErrorCode.INPUT_TYPES,
            what=f"column '{doubt.column}' of the json input",
            got=doubt.got,
            expected=doubt.expected,
            next_step=f"Correct the files, or declare the columns, this one {doubt.effect}: "
            f"'input.schema: {self._declaration(wanted)}'.",
        )

    def _declaration(self, wanted: Collection[str]) -> str:
        """Return an 'input.schema' that declares the columns in `wanted`, for an error message."""
        types = {field.name: field.dataType.simpleString() for field in self.schema if field.name in wanted}
        return schema_line(types, {name: doubt.type for name, doubt in self._doubts.items() if name in types})

    def _type_of_column(self, name: str) -> DataType | None:
        """Return the type of a column, or None if the column is left out; see `left_out`."""
        self._column = name
        return self._type_of(name, self._columns[name])

    def _type_of(self, path: str, seen: FieldSurvey) -> DataType | None:
        """Return the type of the values at a path, or None if all of them are objects without fields.

        The result is also None for objects and arrays that contain only such objects. NULL fits every type. Spark's
        string type is returned if all values are NULL, or if no other type can hold all of them. In the latter case, a
        `Doubt` about the column is also recorded.

        Args:
            path: a column, a field of objects (``column.field``), or the elements of arrays (``column[]``).
            seen: a summary of the values.
        """
        types = [json_type for json_type in seen.types if json_type != NULL]
        families = [family for family in _FAMILIES if any(json_type in family for json_type in types)]
        if len(families) > 1:
            firsts = [min((seen.types[each], each) for each in types if each in family) for family in families]
            found = [(json_type, position) for position, json_type in firsts]
            return self._doubt(path, found, "values of one type", "string", _AS_TEXT)
        if not families:
            return StringType()
        if OBJECT in seen.types or ARRAY in seen.types:
            return self._nested(path, seen)
        if TEXT in seen.types:
            return StringType()
        return BooleanType() if BOOLEAN in seen.types else self._number(path, seen)

    def _nested(self, path: str, seen: FieldSurvey) -> DataType | None:
        """Return the type of the objects or arrays at a path, or None if they contain only objects without fields.

        If the values are nested too deeply, a `Doubt` is stored, and Spark's string type is returned.
        """
        if path.count("[]") + path.count(".") > _DEEPEST:
            got = [("objects or arrays inside each other", min(seen.types.values()))]
            return self._doubt(self._column, got, f"up to {_DEEPEST} of them", "string", _AS_TEXT)
        if OBJECT in seen.types:
            types = {name: self._type_of(f"{path}.{name}", seen.fields[name]) for name in sorted(seen.fields)}
            struct = StructType([StructField(name, found) for name, found in types.items() if found is not None])
            return struct if struct.fields else None
        element = self._type_of(f"{path}[]", seen.element or FieldSurvey())
        return None if element is None else ArrayType(element)

    def _number(self, path: str, seen: FieldSurvey) -> DataType:
        """Return the type of values that are all numbers: double if any has a decimal point or exponent, else bigint.

        If this type cannot hold all of the values, record a `Doubt` and return the type ``string`` instead.
        """

        def found(*types: str) -> list[tuple[str, list[int]]]:
            return [(each, seen.types[each]) for each in types if each in seen.types]

        if wrong := found(BEYOND):
            return self._doubt(path, wrong, "numbers that a double holds", "string", _AS_TEXT)
        if wrong := found(PRECISE):
            effect = "as text with all digits; 'double' takes the nearest one, 'decimal(38,…)' holds up to 38 digits"
            return self._doubt(path, wrong, "numbers that a double holds", "string", effect)
        if REAL in seen.types:
            if wrong := found(LONG, HUGE):
                return self._doubt(path, [*found(REAL), *wrong], "numbers of one type", "string", _AS_TEXT)
            return DoubleType()
        if wrong := found(ROUND, HUGE):
            return self._doubt(path, wrong[:1], "integers that bigint holds", "decimal(38,0)", "with up to 38 digits")
        return LongType()

    def _doubt(
        self, path: str, found: list[tuple[str, list[int]]], expected: str, declared: str, effect: str
    ) -> DataType:
        """Store a `Doubt`, the reason why no type can be inferred for a path, and return the string type.

        Only the first reason for each column is kept.

        Args:
            path: the path of the values: a column, or a part of a nested column.
            found: the conflicting types, each with the position of its first value.
            expected: a phrase for the values that were expected.
            declared: a type that the user can declare for the column. For values inside objects or arrays, ``string``
                is suggested instead.
            effect: a phrase that says how values are read with that type.
        """
        got = " and ".join(f"{json_type} ({self._position_text(position)})" for json_type, position in found)
        is_inside = path != self._column
        doubt = Doubt(path, got, expected, "string" if is_inside else declared, _AS_TEXT if is_inside else effect)
        self._doubts.setdefault(self._column, doubt)
        return StringType()


def names_in(columns: Mapping[str, FieldSurvey]) -> Iterator[list[str]]:
    """Yield the list of column names, and then, for each path that has objects, the list of their field names.

    A path is, for example, ``column`` or ``column.field``.
    """
    yield list(columns)
    for seen in columns.values():
        yield from _names_inside(seen)


def _names_inside(seen: FieldSurvey) -> Iterator[list[str]]:
    """Yield lists of field names: one for the objects in a column, and one for each path to objects inside them."""
    if seen.fields:
        yield from names_in(seen.fields)
    if seen.element is not None:
        yield from _names_inside(seen.element)
