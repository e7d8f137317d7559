"""Check that a declared type holds texts exactly (worker).

The spelling is free: ``007`` is 7 for a bigint. The value is not: a type that would round, cut off or move it has no
place for it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from datetime import date, datetime, timezone
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
# Numbers of which nothing more has to be known: few digits before the point, neither large nor small.
_SURE: Final = {
    "double": r"^[+-]?[0-9]{1,15}(?:\.[0-9]{0,20})?(?:[eE][+-]?[0-9]{1,2})?$",
    "float": r"^[+-]?[0-9]{1,7}(?:\.[0-9]{0,20})?$",
}
_SEEN: Final = {
    "boolean": Seen.BOOLEAN,
    "date": Seen.DATE,
    "timestamp_ntz": Seen.TIME | Seen.DATE,
    "timestamp": Seen.INSTANT | Seen.TIME | Seen.DATE,
}
#: The zone of times without one, in which each of them is there once.
UTC: Final = "UTC"
_LOCAL: Final = re.compile(f"{_DAY}(?:[T ]([0-9]{{1,2}}):([0-9]{{2}})(?::([0-9]{{2}})(?:[.][0-9]+)?)?)?")
#: Types that hold any text.
_OF_TEXT: Final = frozenset({"string", "binary"})


def is_of_texts(kind: str) -> bool:
    """Tell whether texts can be read as this type; it is Spark's name of it."""
    return kind in {*_OF_TEXT, *_BITS, *_SEEN, *_SURE} or any(form.fullmatch(kind) for form in (_DECIMAL, _VARCHAR))


def find_misfits(texts: pa.Array, kind: str, also: Collection[str] = (), zone: str = UTC) -> npt.NDArray[np.int64]:
    """Give the places of the texts that a type does not hold exactly.

    Args:
        texts: the texts; a NULL fits.
        kind: Spark's name of the type.
        also: texts that the user names for values of the type, such as that of NaN.
        zone: the zone of times without one.
    """
    if kind in _OF_TEXT or texts.null_count == len(texts) or (_is_exact(kind, zone) and _all_fit(texts, kind)):
        return np.empty(0, dtype=np.int64)
    if found := _VARCHAR.fullmatch(kind):
        is_long = pc.greater(pc.utf8_length(texts), int(found[1])).fill_null(False)
        return np.flatnonzero(is_long.to_numpy(zero_copy_only=False))
    holds = _holds(kind) if _is_exact(kind, zone) else _holds_in(zone)
    values = texts.to_pylist()
    wrong = [value is not None and value not in also and not holds(value.strip(_BLANKS)) for value in values]
    return np.flatnonzero(wrong)


def _all_fit(texts: pa.Array, kind: str) -> bool:
    """Tell whether all texts fit, where that is seen at once."""
    if _VARCHAR.fullmatch(kind):
        return False
    if sure := _SURE.get(kind) or _sure_decimal(kind):
        return bool(pc.all(pc.match_substring_regex(texts, sure)).as_py())
    if kind in _SEEN:
        return not look_at(texts, Seen(0)) & ~_SEEN[kind]
    try:
        integers = texts.cast(pa.int64())
        integers.cast(pa.from_numpy_dtype(f"int{_BITS[kind]}"))
    except pa.ArrowInvalid:
        return False
    return bool(pc.all(pc.equal(integers.cast(pa.string()), texts)).as_py())


def _sure_decimal(kind: str) -> str | None:
    found = _DECIMAL.fullmatch(kind)
    if found is None:
        return None
    whole, scale = int(found[1]) - int(found[2]), int(found[2])
    return f"^[+-]?{f'[0-9]{{1,{whole}}}' if whole else '0'}{f'(?:[.][0-9]{{1,{scale}}})?' if scale else ''}$"


def _holds(kind: str) -> _Holds:
    if kind in _BITS:
        limit = 2 ** (_BITS[kind] - 1)
        return lambda text: (found := _INTEGER.fullmatch(text)) is not None and -limit <= int(found[1]) < limit
    if found := _DECIMAL.fullmatch(kind):
        precision, scale = int(found[1]), int(found[2])
        return lambda text: _is_decimal(text, precision, scale)
    return {
        "double": lambda text: _is_floating(text, float),
        "float": lambda text: _is_floating(text, lambda value: float(np.float32(value))),
        "boolean": lambda text: text.lower() in {"true", "false"},
        "date": lambda text: _is_day(_DATE.fullmatch(text)),
        "timestamp_ntz": lambda text: _is_day(_TIME.fullmatch(text)),
        "timestamp": lambda text: _is_day(_INSTANT.fullmatch(text)),
    }[kind]


def _is_floating(text: str, rounded: Callable[[str], float]) -> bool:
    """Tell whether a number does not become 0, infinite or another integer; fractions become the nearest there is."""
    if not _NUMBER.fullmatch(text):
        return _SPECIAL.fullmatch(text) is not None
    with np.errstate(over="ignore"):
        value = rounded(text)
    if found := _INTEGER.fullmatch(text):
        return not math.isinf(value) and int(value) == int(found[1])
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
        return found is not None and bool(date(*(int(part) for part in found.groups()[:3])))
    except ValueError:
        return False


def _is_exact(kind: str, zone: str) -> bool:
    return kind != "timestamp" or zone == UTC


def _holds_in(zone: str) -> _Holds:
    """Leave out the times that clocks of the zone have passed over, such as an hour of a night in spring."""
    is_time = _holds("timestamp")
    return lambda text: is_time(text) and _is_there(_LOCAL.fullmatch(text), zone)


def _is_there(found: re.Match[str] | None, zone: str) -> bool:
    if found is None:  # it has its own zone
        return True
    return clocks_show(datetime(*(int(part or 0) for part in found.groups())), zone)  # type: ignore[arg-type]  # noqa: DTZ001


def clocks_show(local: datetime, zone: str) -> bool:
    """Tell whether clocks of a zone have shown a time; an offset has no hour that they pass over."""
    clocks = _clocks_of(zone)
    if clocks is None or not date.min < local.date() < date.max:
        return True
    moment = local.replace(tzinfo=clocks).astimezone(timezone.utc)  # noqa: UP017 - UTC is a name here
    return moment.astimezone(clocks).replace(tzinfo=None) == local


@cache
def _clocks_of(zone: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        return None
