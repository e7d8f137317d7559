"""Check whether strings fit a declared type, so that converting them does not change their values.

Runs on the driver and the workers.

A value may be written in several ways: the string ``007`` is 7 as a bigint. But a string does not fit if its conversion
would truncate it, round an integer or a decimal, or move a local time that clocks skip when they are set forward.
Rounding is allowed only for ``float`` and ``double``, and only if the string has a fraction or an exponent.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Collection, Iterable
from decimal import Context, Decimal, InvalidOperation
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sparkscore.survey.text_types import Seen, look_at

_Holds = Callable[[str], bool]

_BITS: Final = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}
_INTEGER: Final = re.compile(r"([+-]?[0-9]+)(?:\.0*)?")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_DECIMAL: Final = re.compile(r"decimal\(([0-9]+),([0-9]+)\)")
_VARCHAR: Final = re.compile(r"varchar\(([0-9]+)\)")
_DAY: Final = r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
_DATE: Final = re.compile(_DAY)
_CLOCK: Final = r"(?:[T ](?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6}0*)?)?"
_TIME: Final = re.compile(f"{_DAY}{_CLOCK})?")
_INSTANT: Final = re.compile(
    f"{_DAY}{_CLOCK}(?: ?(?:Z|UTC|[+-](?:0?[0-9]|1[0-7])(?::[0-5][0-9])?|[+-][01][0-7][0-5][0-9]))?)?"
)
_SPECIAL: Final = re.compile(r"nan|[+-]?inf(?:inity)?", re.IGNORECASE)
_BLANKS: Final = " \t"
# No double is this long, and Python's limit for int() is higher.
_MOST_DIGITS: Final = 400
# Strings that match these patterns fit: they have few digits before the point and a small exponent.
_SAFE_NUMBERS: Final = {
    "double": r"^[+-]?[0-9]{1,15}(?:\.[0-9]{0,20})?(?:[eE][+-]?[0-9]{1,2})?$",
    "float": r"^[+-]?[0-9]{1,7}(?:\.[0-9]{0,20})?$",
}
_SEEN: Final = {
    "boolean": Seen.BOOLEAN,
    "date": Seen.DATE,
    "timestamp_ntz": Seen.TIME | Seen.DATE,
    "timestamp": Seen.INSTANT | Seen.TIME | Seen.DATE,
}
#: The default time zone for timestamps without one. Its clocks never change, so every local time exists.
UTC: Final = "UTC"
_LOCAL: Final = re.compile(f"{_DAY}(?:[T ]([0-9]{{1,2}}):([0-9]{{2}})(?::([0-9]{{2}})(?:[.][0-9]+)?)?)?")
#: Types that can hold any string.
_TEXT_TYPES: Final = frozenset({"string", "binary"})


def is_of_texts(spark_type: str) -> bool:
    """Return whether sparkscore can convert strings to a type, given its name in Spark, such as ``bigint``."""
    is_plain = spark_type in {*_TEXT_TYPES, *_BITS, *_SEEN, *_SAFE_NUMBERS}
    return is_plain or any(form.fullmatch(spark_type) for form in (_DECIMAL, _VARCHAR))


def find_misfits(
    texts: pa.Array, spark_type: str, special: Collection[str] = (), zone: str = UTC
) -> npt.NDArray[np.int64]:
    """Return the indices of the strings that do not fit a type.

    Spaces and tabs around a value are ignored, except for the type ``varchar``.

    Args:
        texts: the strings. NULL fits every type.
        spark_type: Spark's name for the type. `is_of_texts` must return True for it.
        special: additional strings that fit the type, such as those that the user sets for NaN.
        zone: the time zone for timestamps without a time zone.
    """
    if spark_type in _TEXT_TYPES or texts.null_count == len(texts):
        return np.empty(0, dtype=np.int64)
    depends_on_zone = spark_type == "timestamp" and zone != UTC
    if not depends_on_zone and _all_fit(texts, spark_type):
        return np.empty(0, dtype=np.int64)
    if found := _VARCHAR.fullmatch(spark_type):
        is_long = pc.greater(pc.utf8_length(texts), int(found[1])).fill_null(False)
        return np.flatnonzero(is_long.to_numpy(zero_copy_only=False))
    holds = _holds_in(zone) if depends_on_zone else _holds(spark_type)
    values = texts.to_pylist()
    wrong = [value is not None and value not in special and not holds(value.strip(_BLANKS)) for value in values]
    return np.flatnonzero(wrong)


def _all_fit(texts: pa.Array, spark_type: str) -> bool:
    """Return whether a quick check shows that all strings fit a type.

    If the result is False, all strings may still fit; each must then be checked separately.
    """
    if _VARCHAR.fullmatch(spark_type):
        return False
    if safe := _SAFE_NUMBERS.get(spark_type) or _safe_decimal(spark_type):
        return bool(pc.all(pc.match_substring_regex(texts, safe)).as_py())
    if spark_type in _SEEN:
        return not look_at(texts, Seen(0)) & ~_SEEN[spark_type]
    try:
        integers = texts.cast(pa.int64())
        integers.cast(pa.from_numpy_dtype(f"int{_BITS[spark_type]}"))
    except pa.ArrowInvalid:
        return False
    return bool(pc.all(pc.equal(integers.cast(pa.string()), texts)).as_py())


def _safe_decimal(spark_type: str) -> str | None:
    found = _DECIMAL.fullmatch(spark_type)
    if found is None:
        return None
    whole, scale = int(found[1]) - int(found[2]), int(found[2])
    return f"^[+-]?{f'[0-9]{{1,{whole}}}' if whole else '0'}{f'(?:[.][0-9]{{1,{scale}}})?' if scale else ''}$"


def _holds(spark_type: str) -> _Holds:
    if spark_type in _BITS:
        limit = 2 ** (_BITS[spark_type] - 1)
        return lambda text: (found := _INTEGER.fullmatch(text)) is not None and -limit <= _integer(found[1]) < limit
    if found := _DECIMAL.fullmatch(spark_type):
        precision, scale = int(found[1]), int(found[2])
        return lambda text: _is_decimal(text, precision, scale)
    return {
        "double": lambda text: _is_floating(text, float),
        "float": lambda text: _is_floating(text, lambda value: float(np.float32(value))),
        "boolean": lambda text: text.lower() in {"true", "false"},
        "date": lambda text: _is_day(_DATE.fullmatch(text)),
        "timestamp_ntz": lambda text: _is_day(_TIME.fullmatch(text)),
        "timestamp": lambda text: _is_day(_INSTANT.fullmatch(text)),
    }[spark_type]


def _integer(digits: str) -> int:
    """Convert a string of digits, with or without a sign, to an integer.

    A number with more than 400 digits becomes 10**400 or -10**400, which is beyond the range of a double. Python's
    ``int`` raises an error for more than 4,300 digits.
    """
    significant = digits.lstrip("+-").lstrip("0") or "0"
    value = int(significant) if len(significant) <= _MOST_DIGITS else 10**_MOST_DIGITS
    return -value if digits.startswith("-") else value


def _is_floating(text: str, rounded: Callable[[str], float]) -> bool:
    """Return whether a string fits a floating-point type.

    - NaN and infinity fit.
    - An integer without an exponent, such as ``7`` or ``7.00``, fits if the type holds it exactly.
    - Any other number may be rounded, but must not overflow to infinity or underflow to zero.

    Args:
        text: the string.
        rounded: a function that converts the string to the floating-point type.
    """
    if not _NUMBER.fullmatch(text):
        return _SPECIAL.fullmatch(text) is not None
    with np.errstate(over="ignore"):
        value = rounded(text)
    if found := _INTEGER.fullmatch(text):
        return not math.isinf(value) and int(value) == _integer(found[1])
    return not math.isinf(value) and (value != 0 or not re.search("[1-9]", re.split("[eE]", text)[0]))


def _is_decimal(text: str, precision: int, scale: int) -> bool:
    if not _NUMBER.fullmatch(text):
        return False
    try:
        value = Decimal(text)
        held = value.quantize(Decimal(1).scaleb(-scale), context=Context(prec=precision))
    except InvalidOperation:
        return False
    return held == value


def _is_day(found: re.Match[str] | None) -> bool:
    try:
        return found is not None and bool(dt.date(*(int(part) for part in found.groups()[:3])))
    except ValueError:
        return False


def _holds_in(zone: str) -> _Holds:
    """Return a function that checks whether a string fits the type ``timestamp``.

    A timestamp without a time zone is a local time in ``zone``. It does not fit if clocks in this zone skip it when
    they are set forward.
    """
    is_time = _holds("timestamp")
    return lambda text: is_time(text) and _exists(_LOCAL.fullmatch(text), zone)


def _exists(found: re.Match[str] | None, zone: str) -> bool:
    # A string that does not match contains its own time zone.
    return found is None or exists_in_zone(local_time(found.groups()), zone)


def local_time(parts: Iterable[str | None]) -> dt.datetime:
    """Create a datetime from strings for the year, month, day, hour, minute and second. None counts as 0.

    Raises:
        ValueError: there is no such date or time of day.
    """
    year, month, day, hour, minute, second = (int(part or 0) for part in parts)
    return dt.datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - the time zone is checked separately


def exists_in_zone(local: dt.datetime, zone: str) -> bool:
    """Return whether a local time exists in a time zone. Clocks skip some local times when they are set forward.

    The result is also True if the time zone is unknown or is an offset such as ``+02:00``, and for the first and last
    day of the calendar.
    """
    clocks = _zone_info(zone)
    if clocks is None or not dt.date.min < local.date() < dt.date.max:
        return True
    instant = local.replace(tzinfo=clocks).astimezone(dt.UTC)
    return instant.astimezone(clocks).replace(tzinfo=None) == local


@cache
def _zone_info(zone: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        return None
