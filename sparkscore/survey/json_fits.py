"""Check whether JSON values stay the same when Spark reads them as a declared type. Runs on the driver and the workers.

In ``FAILFAST`` mode, Spark's reader raises an error for some values that do not fit, but without their line number. It
silently changes others: it rounds numbers for ``decimal``, reads a number for ``timestamp`` as seconds, reads ``200``
for ``tinyint`` as -56, and drops the time of day from a string for ``date``. Rounding is allowed only for ``double``
and ``float``.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from zoneinfo import available_timezones

import numpy as np
import pyarrow as pa

from sparkscore.survey.declared_texts import UTC, exists_in_zone, local_time
from sparkscore.survey.json_numbers import DIGITS, is_beyond_double
from sparkscore.survey.json_records import NotFinite, Number

#: A function that returns a phrase for a value that does not fit, or an empty string if the value fits.
Check = Callable[[Any], str]

_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_DATE: Final = re.compile(r"\d{4}-\d{1,2}-\d{1,2}")
_TIME: Final = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ](\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,9}))?)?\s*([A-Za-z+-].*)?)?"
)
# Spark's JacksonParser reads these strings as numbers. The 'allowNonNumericNumbers' option is about NaN without quotes.
_NOT_FINITE: Final = {"NaN", *(sign + word for sign in ("", "+", "-") for word in ("INF", "Infinity"))}
_INEXACT: Final = "an integer that the type does not hold exactly"
_MICROSECOND_DIGITS: Final = 6
_OFFSET: Final = re.compile(r"(?:UTC|GMT|UT)?[+-](\d{1,2})(?::?[0-5]\d(?::?[0-5]\d)?)?")
_MOST_HOURS: Final = 18


@dataclass(frozen=True)
class Formats:
    """The options for dates and times in JSON files.

    Attributes:
        has_date: whether ``dateFormat`` is set. If so, Spark parses dates, and this module only checks that they are
            strings.
        has_time: whether ``timestampFormat`` is set, which has the same effect for columns declared ``timestamp``.
        has_local_time: whether ``timestampNTZFormat`` is set, which has the same effect for columns declared
            ``timestamp_ntz``.
        zone: the time zone for timestamps without a time zone.
    """

    has_date: bool = False
    has_time: bool = False
    has_local_time: bool = False
    zone: str = UTC


def check_of(arrow_type: pa.DataType, formats: Formats) -> Check:
    """Return a function that checks whether values fit a declared type.

    For a value that does not fit, the function returns a phrase such as ``a number with a fraction``; otherwise, it
    returns an empty string. A null fits every type. Some types, such as ``string``, are not checked.
    """
    inner = _check_for(arrow_type, formats)
    return lambda value: "" if value is None else inner(value)


def _check_for(arrow_type: pa.DataType, formats: Formats) -> Check:
    if pa.types.is_nested(arrow_type):
        return _nested_check(arrow_type, formats)
    if pa.types.is_decimal(arrow_type):
        return _decimal_check(arrow_type)
    if pa.types.is_signed_integer(arrow_type):
        return _integer_check(arrow_type)
    if pa.types.is_date(arrow_type):
        return _check_text if formats.has_date else _check_date
    if pa.types.is_timestamp(arrow_type):
        is_local = arrow_type.tz is None
        is_by_spark = formats.has_local_time if is_local else formats.has_time
        return _check_text if is_by_spark else _time_check("" if is_local else formats.zone)
    return _PLAIN.get(arrow_type, _accept_any)


def _nested_check(arrow_type: pa.DataType, formats: Formats) -> Check:
    if pa.types.is_struct(arrow_type):
        return _struct_check({field.name: check_of(field.type, formats) for field in arrow_type})
    if pa.types.is_map(arrow_type):
        return _map_check(check_of(arrow_type.item_type, formats))
    return _list_check(check_of(arrow_type.value_type, formats))


def _accept_any(_value: Any) -> str:
    # For string columns, which can hold any JSON value, and for other types whose values are not checked.
    return ""


def _check_text(value: Any) -> str:
    return "" if isinstance(value, str) and not isinstance(value, Number) else _name_of_type(value)


def _name_of_type(value: Any) -> str:
    """Return a phrase for the JSON type of a value that is not null, such as ``an integer``."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, (Number, NotFinite)):
        return "a number"
    return "a text" if isinstance(value, str) else "an array" if isinstance(value, list) else "an object"


def _check_boolean(value: Any) -> str:
    return "" if isinstance(value, bool) else _name_of_type(value)


def _integer_check(arrow_type: pa.DataType) -> Check:
    most = 2 ** (arrow_type.bit_width - 1)

    def check(value: Any) -> str:
        if type(value) is int:
            return "" if -most <= value < most else "an integer beyond its range"
        if not isinstance(value, Number):
            return _name_of_type(value)
        number = Decimal(value)
        if not -most <= number < most:
            return "a number beyond its range"
        return "" if number == number.to_integral_value() else "a number with a fraction"

    return check


def has_integers(arrow_type: pa.DataType) -> bool:
    """Return whether a type is a signed integer type, or a nested type that contains one."""
    if pa.types.is_nested(arrow_type):
        return any(has_integers(arrow_type.field(number).type) for number in range(arrow_type.num_fields))
    return bool(pa.types.is_signed_integer(arrow_type))


def has_reals(value: Any) -> bool:
    """Return whether a JSON value is or contains a number with a decimal point or an exponent."""
    if isinstance(value, (list, dict)):
        return any(map(has_reals, value.values() if isinstance(value, dict) else value))
    return isinstance(value, Number)


def _check_double(value: Any) -> str:
    if type(value) is int:
        return "" if abs(value) <= 2**53 else _check_large_integer(value)
    if isinstance(value, Number):
        return "a number beyond its range" if is_beyond_double(value) else ""
    return _check_not_finite(value)


def _check_large_integer(value: int) -> str:
    try:
        number = float(value)
    except OverflowError:
        return "a number beyond its range"
    # JavaScript writes a large double as its shortest digits followed by zeros, which may differ from its exact value.
    is_short = abs(value) >= 2**63 and len(str(value).lstrip("-").rstrip("0")) <= DIGITS
    return "" if is_short or int(number) == value else _INEXACT


def _check_float(value: Any) -> str:
    if isinstance(value, Number) or type(value) is int:
        try:
            number = float(value)
        except OverflowError:
            return "a number beyond its range"
        with np.errstate(over="ignore", under="ignore"):
            short = float(np.float32(number))
        is_lost = short == 0 and (number != 0 or (isinstance(value, Number) and is_beyond_double(value)))
        if math.isinf(short) or is_lost:
            return "a number beyond its range"
        return _INEXACT if type(value) is int and int(short) != value else ""
    return _check_not_finite(value)


def _check_not_finite(value: Any) -> str:
    is_known = isinstance(value, NotFinite) or (isinstance(value, str) and value in _NOT_FINITE)
    return "" if is_known else _name_of_type(value)


def _decimal_check(arrow_type: pa.Decimal128Type) -> Check:
    whole, scale = arrow_type.precision - arrow_type.scale, arrow_type.scale

    def check(value: Any) -> str:
        if isinstance(value, (bool, NotFinite)) or not isinstance(value, (int, str)):
            return _name_of_type(value)
        if isinstance(value, str) and not _NUMBER.fullmatch(value):
            return "a text that is not a number"
        _, digits, exponent = Decimal(value).as_tuple()
        text = "".join(map(str, digits)).lstrip("0")
        kept = text.rstrip("0")
        if not kept:
            return ""
        lowest = int(exponent) + len(text) - len(kept)
        if -lowest > scale:
            return f"a number with more than {scale} digits after the decimal point"
        return "" if len(kept) + lowest <= whole else f"a number with more than {whole} digits before the decimal point"

    return check


def _check_date(value: Any) -> str:
    if _check_text(value):
        return _name_of_type(value)
    return "" if _DATE.fullmatch(value) and _is_time(value) else "a text that is not a date such as 2026-01-31"


def _time_check(zone: str) -> Check:
    """Return a function that checks whether a JSON value fits a timestamp type.

    Only a string with a timestamp or date fits.

    Args:
        zone: the time zone for timestamps without a time zone, or an empty string for the type ``timestamp_ntz``, whose
            values must not have a time zone.
    """

    def check(value: Any) -> str:
        if _check_text(value):
            return _name_of_type(value)
        found = _TIME.fullmatch(value)
        if found is None or not _is_time(value):
            return "a text that is not a time such as 2026-01-31T23:59:59.999999"
        if found[8] and not zone:
            return "a time with a zone"
        if zone and not _exists(found, zone):
            return "a local time that clocks skip in spring, or an unknown offset or time zone"
        return "a time with parts of a microsecond" if (found[7] or "")[_MICROSECOND_DIGITS:].strip("0") else ""

    return check


def _exists(found: re.Match[str], zone: str) -> bool:
    """Return whether the local time in a string exists in its time zone.

    Clocks skip some local times when they are set forward. The result is also False if the string contains an unknown
    time zone, or if the offset is 18 hours or more.

    Args:
        found: the match of `_TIME` with the string.
        zone: the time zone if the string has none.
    """
    own = found[8] or zone
    if offset := _OFFSET.fullmatch(own):
        return int(offset[1]) < _MOST_HOURS
    if found[8] and own.removeprefix("Z") and own not in available_timezones():
        return False
    return exists_in_zone(local_time(found.groups()[:6]), own)


def _is_time(text: str) -> bool:
    found = _TIME.fullmatch(text)
    if found is None:
        return False
    try:
        local_time(found.groups()[:6])
    except ValueError:
        return False
    return True


def _check_binary(value: Any) -> str:
    if _check_text(value):
        return _name_of_type(value)
    try:
        base64.b64decode(value, validate=True)
    except ValueError:
        return "a text that is not Base64"
    return ""


def _list_check(check: Check) -> Check:
    def check_each(value: Any) -> str:
        if not isinstance(value, list):
            return _name_of_type(value)
        return next((f"an array with {misfit}" for misfit in map(check, value) if misfit), "")

    return check_each


def _map_check(check: Check) -> Check:
    def check_each(value: Any) -> str:
        if not isinstance(value, dict):
            return _name_of_type(value)
        return next((f"an object with {misfit}" for misfit in map(check, value.values()) if misfit), "")

    return check_each


def _struct_check(checks: dict[str, Check]) -> Check:
    def check_each(value: Any) -> str:
        if not isinstance(value, dict):
            return _name_of_type(value)
        for name, check in checks.items():
            if misfit := check(value.get(name)):
                return f"an object with {misfit} as '{name}'"
            if name not in value and any(key.lower() == name.lower() for key in value):
                return f"an object with a name that differs from '{name}' in case"
        return ""

    return check_each


_PLAIN: Final[dict[pa.DataType, Check]] = {
    pa.bool_(): _check_boolean,
    pa.float64(): _check_double,
    pa.float32(): _check_float,
    pa.string(): _accept_any,
    pa.binary(): _check_binary,
}
