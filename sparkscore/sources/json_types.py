"""Decide the types of JSON columns from all values that were seen, or say why there is none (driver)."""

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
# Types that are deeper are too deep for what makes schemas of them.
_DEEPEST: Final = 100
_AS_TEXT: Final = "as text, each as it is written"


@dataclass(frozen=True)
class Doubt:
    """Why a column has no type.

    Attributes:
        column: the column, with the field of it.
        got: the kinds that do not go together, with where.
        expected: what would be right.
        type: the type to declare the column with.
        gives: what that gives.
    """

    column: str
    got: str
    expected: str
    type: str
    gives: str


class TypesOfJson:
    """The types of columns.

    Attributes:
        left_out: columns of which all values are empty objects, which Spark leaves out.
    """

    def __init__(self, columns: Mapping[str, FieldSurvey], tell_place: Callable[[list[int]], str]) -> None:
        self._columns, self._tell_place = columns, tell_place
        self._doubts: dict[str, Doubt] = {}
        self._column = ""
        types = {name: self._type_of_column(name) for name in sorted(columns)}
        self.left_out = tuple(name for name, kind in types.items() if kind is None)
        self.schema = StructType([StructField(name, kind) for name, kind in types.items() if kind is not None])

    def refuse_doubts(self, wanted: Collection[str]) -> None:
        """Refuse columns without a type.

        Raises:
            SourceSchemaError: a wanted column has values that no type holds as they are written.
        """
        doubt = next((self._doubts[name] for name in wanted if name in self._doubts), None)
        if doubt is None:
            return
        raise SourceSchemaError(
            code=ErrorCode.INPUT_TYPES,
            what=f"column '{doubt.column}' of the json input",
            got=doubt.got,
            expected=doubt.expected,
            next_step=f"Correct the files, or declare the columns, this one {doubt.gives}: "
            f"'input.schema: {self._declaration(wanted)}'.",
        )

    def _declaration(self, wanted: Collection[str]) -> str:
        types = {field.name: field.dataType.simpleString() for field in self.schema if field.name in wanted}
        return schema_line(types, {name: doubt.type for name, doubt in self._doubts.items() if name in types})

    def _type_of_column(self, name: str) -> DataType | None:
        self._column = name
        return self._type_of(name, self._columns[name])

    def _type_of(self, path: str, seen: FieldSurvey) -> DataType | None:
        kinds = [kind for kind in seen.types if kind != NULL]
        families = [family for family in _FAMILIES if any(kind in family for kind in kinds)]
        if len(families) > 1:
            firsts = [min((seen.types[kind], kind) for kind in kinds if kind in family) for family in families]
            return self._doubt(
                path, [(kind, place) for place, kind in firsts], "values of one kind", "string", _AS_TEXT
            )
        if not families:
            return StringType()
        if OBJECT in seen.types or ARRAY in seen.types:
            return self._nested(path, seen)
        if TEXT in seen.types:
            return StringType()
        return BooleanType() if BOOLEAN in seen.types else self._number(path, seen)

    def _nested(self, path: str, seen: FieldSurvey) -> DataType | None:
        if path.count("[]") + path.count(".") > _DEEPEST:
            got = [("objects or arrays inside each other", min(seen.types.values()))]
            return self._doubt(self._column, got, f"up to {_DEEPEST} of them", "string", _AS_TEXT)
        if OBJECT in seen.types:
            fields = {name: self._type_of(f"{path}.{name}", seen.fields[name]) for name in sorted(seen.fields)}
            told = StructType([StructField(name, kind) for name, kind in fields.items() if kind is not None])
            return told if told.fields else None
        element = self._type_of(f"{path}[]", seen.element or FieldSurvey())
        return None if element is None else ArrayType(element)

    def _number(self, path: str, seen: FieldSurvey) -> DataType:
        def found(*kinds: str) -> list[tuple[str, list[int]]]:
            return [(kind, seen.types[kind]) for kind in kinds if kind in seen.types]

        if wrong := found(BEYOND):
            return self._doubt(path, wrong, "numbers that a double holds", "string", _AS_TEXT)
        if wrong := found(PRECISE):
            gives = "as text with all digits; 'double' takes the nearest one, 'decimal(38,…)' holds up to 38 digits"
            return self._doubt(path, wrong, "numbers that a double holds", "string", gives)
        if REAL in seen.types:
            if wrong := found(LONG, HUGE):
                return self._doubt(path, [*found(REAL), *wrong], "numbers of one kind", "string", _AS_TEXT)
            return DoubleType()
        if wrong := found(ROUND, HUGE):
            return self._doubt(path, wrong[:1], "integers that bigint holds", "decimal(38,0)", "with up to 38 digits")
        return LongType()

    def _doubt(
        self, path: str, found: list[tuple[str, list[int]]], expected: str, declared: str, gives: str
    ) -> DataType:
        got = " and ".join(f"{kind} ({self._tell_place(place)})" for kind, place in found)
        inside = path != self._column
        told = Doubt(path, got, expected, "string" if inside else declared, _AS_TEXT if inside else gives)
        self._doubts.setdefault(self._column, told)
        return StringType()


def names_in(columns: Mapping[str, FieldSurvey]) -> Iterator[list[str]]:
    """Give the names that stand beside each other: those of the columns, and those of the fields of objects."""
    yield list(columns)
    for seen in columns.values():
        yield from _names_inside(seen)


def _names_inside(seen: FieldSurvey) -> Iterator[list[str]]:
    if seen.fields:
        yield from names_in(seen.fields)
    if seen.element is not None:
        yield from _names_inside(seen.element)
