"""Tell whether a JSON value is held exactly by its declared type when Spark reads it (driver and worker).

Spark's reader with ``FAILFAST`` refuses some of what does not fit without naming a line, and changes the rest: it
rounds numbers for ``decimal``, takes a number for ``timestamp`` for seconds, ``200`` for ``tinyint`` for -56, and cuts
the time off a date.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from zoneinfo import available_timezones

import numpy as np
import pyarrow as pa

from sparkscore.survey.declared_texts import UTC, clocks_show
from sparkscore.survey.json_numbers import is_beyond_double
from sparkscore.survey.json_records import NotFinite, Number

#: Says what does not fit; nothing where the value fits.
Check = Callable[[Any], str]

_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_DATE: Final = re.compile(r"\d{4}-\d{1,2}-\d{1,2}")
_MOMENT: Final = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ](\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,9}))?)?\s*([A-Za-z+-].*)?)?"
)
# Source: Spark's JacksonParser takes these texts for numbers, whatever 'allowNonNumericNumbers' says of tokens.
_NOT_FINITE: Final = {"NaN", *(sign + word for sign in ("", "+", "-") for word in ("INF", "Infinity"))}
_MICROSECONDS: Final = 6
_OFFSET: Final = re.compile(r"(?:UTC|GMT|UT)?[+-](\d{1,2})(?::?[0-5]\d(?::?[0-5]\d)?)?")
_MOST_HOURS: Final = 18


@dataclass(frozen=True)
class Formats:
    """What the deployment says of dates and times.

    Attributes:
        has_date, has_time: whether it says how they are written; they are then Spark's matter.
        zone: the zone of times without one.
    """

    has_date: bool = False
    has_time: bool = False
    zone: str = UTC


def check_of(kind: pa.DataType, formats: Formats) -> Check:
    """Give the check for a declared type."""
    inner = _check_of(kind, formats)
    return lambda value: "" if value is None else inner(value)


def _check_of(kind: pa.DataType, formats: Formats) -> Check:  # noqa: PLR0911 - a line for each kind of types
    if pa.types.is_struct(kind):
        return _of_struct({field.name: check_of(field.type, formats) for field in kind})
    if pa.types.is_map(kind):
        return _of_map(check_of(kind.item_type, formats))
    if pa.types.is_list(kind):
        return _of_list(check_of(kind.value_type, formats))
    if pa.types.is_decimal(kind):
        return _of_decimal(kind)
    if pa.types.is_signed_integer(kind):
        return _of_integer(kind)
    if pa.types.is_date(kind):
        return _any_text if formats.has_date else _date
    if pa.types.is_timestamp(kind):
        return _any_text if formats.has_time else _of_moment(formats.zone if kind.tz is not None else "")
    return _PLAIN.get(kind, _anything)


def _anything(value: Any) -> str:  # noqa: ARG001 - a text takes any value as it is written
    return ""


def _any_text(value: Any) -> str:
    return "" if isinstance(value, str) and not isinstance(value, Number) else _kind(value)


def _kind(value: Any) -> str:
    """Name the kind of a value."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, (Number, NotFinite)):
        return "a number"
    return "a text" if isinstance(value, str) else "an array" if isinstance(value, list) else "an object"


def _boolean(value: Any) -> str:
    return "" if isinstance(value, bool) else _kind(value)


def _of_integer(kind: pa.DataType) -> Check:
    most = 2 ** (kind.bit_width - 1)

    def check(value: Any) -> str:
        if type(value) is int:
            return "" if -most <= value < most else "an integer beyond its range"
        if not isinstance(value, Number):
            return _kind(value)
        number = Decimal(value)
        if not -most <= number < most:
            return "a number beyond its range"
        return "" if number == number.to_integral_value() else "a number with a fraction"

    return check


def has_integers(kind: pa.DataType) -> bool:
    """Tell whether values of a type hold integers."""
    if pa.types.is_nested(kind):
        return any(has_integers(kind.field(number).type) for number in range(kind.num_fields))
    return bool(pa.types.is_signed_integer(kind))


def has_reals(value: Any) -> bool:
    """Tell whether a number with a point or an exponent is in a value."""
    if isinstance(value, (list, dict)):
        return any(map(has_reals, value.values() if isinstance(value, dict) else value))
    return isinstance(value, Number)


def _double(value: Any) -> str:
    if type(value) is int:
        return "" if abs(value) <= 2**53 else _of_large(value)
    if isinstance(value, Number):
        return "a number beyond its range" if is_beyond_double(value) else ""
    return _not_finite(value)


def _of_large(value: int) -> str:
    try:
        number = float(value)
    except OverflowError:
        return "a number beyond its range"
    # A double in its shortest form with zeros behind it, as JavaScript writes it.
    is_short = abs(value) >= 2**63 and len(str(value).lstrip("-").rstrip("0")) <= 17  # noqa: PLR2004
    return "" if is_short or int(number) == value else "an integer that it does not hold exactly"


def _float(value: Any) -> str:
    if isinstance(value, Number) or type(value) is int:
        try:
            number = float(value)
        except OverflowError:
            return "a number beyond its range"
        with np.errstate(over="ignore", under="ignore"):
            short = float(np.float32(number))
        if math.isinf(short) or (
            short == 0 and (number != 0 or (isinstance(value, Number) and is_beyond_double(value)))
        ):
            return "a number beyond its range"
        return "an integer that it does not hold exactly" if type(value) is int and int(short) != value else ""
    return _not_finite(value)


def _not_finite(value: Any) -> str:
    return "" if isinstance(value, NotFinite) or (isinstance(value, str) and value in _NOT_FINITE) else _kind(value)


def _of_decimal(kind: pa.Decimal128Type) -> Check:
    whole, scale = kind.precision - kind.scale, kind.scale

    def check(value: Any) -> str:
        if isinstance(value, (bool, NotFinite)) or not isinstance(value, (int, str)):
            return _kind(value)
        if isinstance(value, str) and not _NUMBER.fullmatch(value):
            return "a text that is no number"
        _, digits, exponent = Decimal(value).as_tuple()
        text = "".join(map(str, digits)).lstrip("0")
        kept = text.rstrip("0")
        if not kept:
            return ""
        lowest = int(exponent) + len(text) - len(kept)
        if -lowest > scale:
            return f"a number with more than {scale} digits behind the point"
        return "" if len(kept) + lowest <= whole else f"a number with more than {whole} digits before the point"

    return check


def _date(value: Any) -> str:
    if _any_text(value):
        return _kind(value)
    return "" if _DATE.fullmatch(value) and _is_moment(value) else "a text that is no date as 2026-01-31"


def _of_moment(zone: str) -> Check:
    """Give the check of times; without a zone for an empty one."""

    def check(value: Any) -> str:
        if _any_text(value):
            return _kind(value)
        found = _MOMENT.fullmatch(value)
        if found is None or not _is_moment(value):
            return "a text that is no time as 2026-01-31T23:59:59.999999"
        if found[8] and not zone:
            return "a time with a zone"
        if zone and not _has_clocks(found, zone):
            return "an hour that clocks pass over in spring, or an offset or zone that nobody has"
        return "a time with parts of a microsecond" if (found[7] or "")[_MICROSECONDS:].strip("0") else ""

    return check


def _has_clocks(found: re.Match[str], zone: str) -> bool:
    """Tell whether a time is there in its own zone, or in that of times without one."""
    own = found[8] or zone
    if offset := _OFFSET.fullmatch(own):
        return int(offset[1]) < _MOST_HOURS
    if found[8] and own.removeprefix("Z") and own not in available_timezones():
        return False
    return clocks_show(datetime(*(int(part or 0) for part in found.groups()[:6])), own)  # type: ignore[arg-type]  # noqa: DTZ001


def _is_moment(text: str) -> bool:
    found = _MOMENT.fullmatch(text)
    if found is None:
        return False
    try:
        datetime(*(int(part or 0) for part in found.groups()[:6]))  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        return False
    return True


def _binary(value: Any) -> str:
    if _any_text(value):
        return _kind(value)
    try:
        base64.b64decode(value, validate=True)
    except ValueError:
        return "a text that is no Base64"
    return ""


def _of_list(check: Check) -> Check:
    def each(value: Any) -> str:
        if not isinstance(value, list):
            return _kind(value)
        return next((f"an array with {told}" for told in map(check, value) if told), "")

    return each


def _of_map(check: Check) -> Check:
    def each(value: Any) -> str:
        if not isinstance(value, dict):
            return _kind(value)
        return next((f"an object with {told}" for told in map(check, value.values()) if told), "")

    return each


def _of_struct(checks: dict[str, Check]) -> Check:
    def each(value: Any) -> str:
        if not isinstance(value, dict):
            return _kind(value)
        for name, check in checks.items():
            if told := check(value.get(name)):
                return f"an object with {told} as '{name}'"
            if name not in value and any(key.lower() == name.lower() for key in value):
                return f"an object with a name that differs from '{name}' in case"
        return ""

    return each


_PLAIN: Final[dict[pa.DataType, Check]] = {
    pa.bool_(): _boolean,
    pa.float64(): _double,
    pa.float32(): _float,
    pa.string(): _anything,
    pa.binary(): _binary,
}
