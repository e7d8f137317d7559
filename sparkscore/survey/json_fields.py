"""Count the values of each type in each field of JSON records, and note where each type first occurs.

Runs on the driver and the workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sparkscore.survey.json_numbers import DIGITS, has_lost_digits, is_beyond_double
from sparkscore.survey.json_records import NotFinite

#: A position in the input: the number of a part of a file, and the number of a line within that part.
Position = tuple[int, int]

NULL: Final = "null"
BOOLEAN: Final = "true or false"
TEXT: Final = "texts"
OBJECT: Final = "objects"
ARRAY: Final = "arrays"
INTEGER: Final = "integers"
#: Integers in the range of bigint that a double cannot hold exactly.
LONG: Final = "integers that a double does not hold"
#: Integers beyond bigint that may be doubles: JavaScript writes 1e20 as 100000000000000000000.
ROUND: Final = "integers beyond bigint"
HUGE: Final = "integers beyond bigint that a double does not hold"
REAL: Final = "numbers with a point or an exponent"
PRECISE: Final = "numbers with more digits than a double holds"
BEYOND: Final = "numbers beyond double"

_BIGINT: Final = (-(2**63), 2**63 - 1)
_SAFE: Final = 2**53
# A number with fewer characters than this and without an exponent is within the range of a double.
_SHORT: Final = 300


class FieldSurvey:
    """A summary of the values in one field of JSON records.

    Attributes:
        types: for each type of value (a constant of this module), a list of three integers: the position of the first
            value (two integers) and the number of values.
        misfits: for each reason why values do not fit the declared type, the position of the first such value.
        fields: if values are objects, the summaries of their fields, by name.
        element: if values are arrays, the summary of their elements. None if no value is an array.
    """

    __slots__ = ("element", "fields", "misfits", "types")

    def __init__(self) -> None:
        self.types: dict[str, list[int]] = {}
        self.misfits: dict[str, Position] = {}
        self.fields: dict[str, FieldSurvey] = {}
        self.element: FieldSurvey | None = None

    @property
    def count(self) -> int:
        """The number of values that are not null."""
        return sum(found[2] for json_type, found in self.types.items() if json_type != NULL)

    def add(self, value: Any, position: Position) -> None:
        """Count a value under its type. If the value is an object or array, also count the values inside it."""
        json_type = _PLAIN.get(type(value)) or _type_of_number(value)
        found = self.types.get(json_type)
        if found is None:
            self.types[json_type] = [*position, 1]
        else:
            found[2] += 1
        if json_type is OBJECT:
            for name, inner in value.items():
                self.field(name).add(inner, position)
        elif json_type is ARRAY:
            if self.element is None:
                self.element = FieldSurvey()
            for inner in value:
                self.element.add(inner, position)

    def field(self, name: str) -> FieldSurvey:
        """Return the summary of the field with this name. The first call for a name creates an empty summary."""
        found = self.fields.get(name)
        if found is None:
            found = self.fields[name] = FieldSurvey()
        return found

    def add_misfit(self, misfit: str, position: Position) -> None:
        """Note the position of a value that does not fit the declared type.

        Only the first position for each reason is kept.

        Args:
            misfit: a phrase for the reason.
            position: the position of the value.
        """
        self.misfits.setdefault(misfit, position)

    def merge(self, other: FieldSurvey) -> None:
        """Add the summary of the same field in another part of the input to this one."""
        for json_type, found in other.types.items():
            mine = self.types.setdefault(json_type, [*found[:2], 0])
            mine[:2] = min(mine[:2], found[:2])
            mine[2] += found[2]
        for misfit, position in other.misfits.items():
            self.misfits[misfit] = min(self.misfits.get(misfit, position), position)
        for name, field in other.fields.items():
            self.field(name).merge(field)
        if other.element is not None:
            self.element = self.element or FieldSurvey()
            self.element.merge(other.element)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as a dictionary that can be written as JSON."""
        return {
            "types": self.types,
            "misfits": self.misfits,
            "fields": {name: field.to_dict() for name, field in self.fields.items()},
            "element": None if self.element is None else self.element.to_dict(),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> FieldSurvey:
        """Create a summary from a dictionary returned by `to_dict`."""
        survey = cls()
        survey.types = dict(plain["types"])
        survey.misfits = {misfit: (position[0], position[1]) for misfit, position in plain["misfits"].items()}
        survey.fields = {name: cls.from_dict(field) for name, field in plain["fields"].items()}
        survey.element = None if plain["element"] is None else cls.from_dict(plain["element"])
        return survey


def _type_of_integer(value: int) -> str:
    if -_SAFE <= value <= _SAFE:
        return INTEGER
    if _BIGINT[0] <= value <= _BIGINT[1]:
        return INTEGER if int(float(value)) == value else LONG
    text = str(value)
    if is_beyond_double(text):
        return BEYOND
    return ROUND if len(text.lstrip("-").rstrip("0")) <= DIGITS else HUGE


def _type_of_number(value: Any) -> str:
    return _type_of_integer(value) if type(value) is int else _type_of_real(value)


def _type_of_real(text: str) -> str:
    if "e" not in text and "E" not in text and len(text) < _SHORT:
        # Most numbers end here, without a regular expression.
        if len(text) <= DIGITS or len(text.lstrip("-0.").replace(".", "")) <= DIGITS:
            return REAL
        return PRECISE if has_lost_digits(text) else REAL
    if is_beyond_double(text):
        return BEYOND
    return PRECISE if has_lost_digits(text) else REAL


_PLAIN: Final[Mapping[type, str]] = {
    type(None): NULL,
    bool: BOOLEAN,
    str: TEXT,
    dict: OBJECT,
    list: ARRAY,
    NotFinite: REAL,
}
