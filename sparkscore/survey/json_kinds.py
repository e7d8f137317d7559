"""Collect which kinds of values the fields of JSON records hold, and where (driver and worker)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sparkscore.survey.json_numbers import DIGITS, has_lost_digits, is_beyond_double
from sparkscore.survey.json_records import NotFinite

#: Part of a file, and line in that part.
Place = tuple[int, int]

NULL: Final = "null"
BOOLEAN: Final = "true or false"
TEXT: Final = "texts"
OBJECT: Final = "objects"
ARRAY: Final = "arrays"
INTEGER: Final = "integers"
#: Integers within bigint that no double holds.
LONG: Final = "integers that a double does not hold"
#: Integers beyond bigint that may be doubles in their shortest form with zeros behind it, as JavaScript writes them.
ROUND: Final = "integers beyond bigint"
HUGE: Final = "integers beyond bigint that a double does not hold"
REAL: Final = "numbers with a point or an exponent"
PRECISE: Final = "numbers with more digits than a double holds"
BEYOND: Final = "numbers beyond double"

_BIGINT: Final = (-(2**63), 2**63 - 1)
_SAFE: Final = 2**53
# Without an exponent it takes more characters to leave the range of double.
_FEW: Final = 300


class Seen:
    """What a field was seen to hold.

    Attributes:
        kinds: for each kind the place of the first such value, and how many there are.
        misfits: for each way in which values do not fit the declared type the place of the first.
        fields: the fields of its objects.
        element: the elements of its arrays.
    """

    __slots__ = ("element", "fields", "kinds", "misfits")

    def __init__(self) -> None:
        self.kinds: dict[str, list[int]] = {}
        self.misfits: dict[str, Place] = {}
        self.fields: dict[str, Seen] = {}
        self.element: Seen | None = None

    @property
    def count(self) -> int:
        """How many values there are that are not NULL."""
        return sum(found[2] for kind, found in self.kinds.items() if kind != NULL)

    def add(self, value: Any, place: Place) -> None:
        """Note a value."""
        kind = _PLAIN.get(type(value)) or _kind_of_number(value)
        found = self.kinds.get(kind)
        if found is None:
            self.kinds[kind] = [*place, 1]
        else:
            found[2] += 1
        if kind is OBJECT:
            for name, inner in value.items():
                self.field(name).add(inner, place)
        elif kind is ARRAY:
            if self.element is None:
                self.element = Seen()
            for inner in value:
                self.element.add(inner, place)

    def field(self, name: str) -> Seen:
        """Give what a field of the objects was seen to hold."""
        found = self.fields.get(name)
        if found is None:
            found = self.fields[name] = Seen()
        return found

    def add_misfit(self, told: str, place: Place) -> None:
        """Note that a value does not fit the declared type."""
        self.misfits.setdefault(told, place)

    def merge(self, other: Seen) -> None:
        """Add what was seen elsewhere."""
        for kind, found in other.kinds.items():
            mine = self.kinds.setdefault(kind, [*found[:2], 0])
            mine[:2] = min(mine[:2], found[:2])
            mine[2] += found[2]
        for told, place in other.misfits.items():
            self.misfits[told] = min(self.misfits.get(told, place), place)
        for name, field in other.fields.items():
            self.field(name).merge(field)
        if other.element is not None:
            self.element = self.element or Seen()
            self.element.merge(other.element)

    def as_plain(self) -> dict[str, Any]:
        """Give it in types that JSON has."""
        return {
            "kinds": self.kinds,
            "misfits": self.misfits,
            "fields": {name: field.as_plain() for name, field in self.fields.items()},
            "element": None if self.element is None else self.element.as_plain(),
        }

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Seen:
        """Read what `as_plain` wrote."""
        seen = cls()
        seen.kinds = dict(plain["kinds"])
        seen.misfits = {told: (place[0], place[1]) for told, place in plain["misfits"].items()}
        seen.fields = {name: cls.of_plain(field) for name, field in plain["fields"].items()}
        seen.element = None if plain["element"] is None else cls.of_plain(plain["element"])
        return seen


def _kind_of_integer(value: int) -> str:
    if -_SAFE <= value <= _SAFE:
        return INTEGER
    if _BIGINT[0] <= value <= _BIGINT[1]:
        return INTEGER if int(float(value)) == value else LONG
    text = str(value)
    if is_beyond_double(text):
        return BEYOND
    return ROUND if len(text.lstrip("-").rstrip("0")) <= DIGITS else HUGE


def _kind_of_number(value: Any) -> str:
    return _kind_of_integer(value) if type(value) is int else _kind_of_real(value)


def _kind_of_real(text: str) -> str:
    if "e" not in text and "E" not in text and len(text) < _FEW:
        # Most numbers are done here, without a regular expression.
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
