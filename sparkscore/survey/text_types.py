"""Infer the type of a column of CSV files from its strings. Runs on the driver and the workers.

The rules for each type are in docs/inputs.md. `look_at` returns flags for a batch of a column's strings. The flags
of different batches, files and tasks can be merged in any order. `type_of` returns the type for the merged flags.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date
from enum import IntFlag
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_Flags = npt.NDArray[np.bool_]


class Seen(IntFlag):
    """Flags for the types that the strings of a column look like."""

    INTEGER = 1
    DECIMAL = 2
    BOOLEAN = 4
    DATE = 8
    TIME = 16
    """A date and a time of day, without a time zone."""
    INSTANT = 32
    """A date and a time of day, with a time zone."""
    TEXT = 64
    NO_DOUBLE = 128
    """An integer that a double cannot hold exactly."""


_INTEGER: Final = "^(?:0|-?[1-9][0-9]{0,18})$"
_DECIMAL: Final = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-][0-9]+)$|^-0$"
# Matches only decimals that fit into a double: at most 17 digits, no integer beyond 2^53, at most two exponent digits.
_SAFE_DECIMAL: Final = "^-?(?:{})$".format(
    "|".join(
        (
            r"0\.0{1,20}",
            r"0\.0{0,20}[1-9][0-9]{0,16}",
            *(rf"[1-9][0-9]{{{whole - 1}}}\.[0-9]{{1,{17 - whole}}}" for whole in range(1, 16)),
            r"[0-9]\.[0-9]{1,16}[eE][+-]?[0-9]{1,2}",
            "[0-9][eE][+-][0-9]{1,2}",
        )
    )
)
_BOOLEAN: Final = "^(?:true|True|TRUE|false|False|FALSE)$"
_DAY: Final = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK: Final = r"[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
_ZONE: Final = "(?:Z|[+-](?:0[0-9]|1[0-7])(?::?[0-5][0-9])?)"
_DATE: Final = f"^{_DAY}$"
_TIME: Final = f"^{_DAY}{_CLOCK}$"
_INSTANT: Final = f"^{_DAY}{_CLOCK}{_ZONE}$"
# The first and last day of the calendar. With a time zone, the instant may be in the year 0 or 10000.
_EDGES: Final = "^(?:0001-01-01|9999-12-31)"
#: The shortest decimal that identifies a double has at most this many digits.
_DOUBLE_DIGITS: Final = 17
_LARGEST_SAFE: Final = 2**53
_DAY_LENGTH: Final = len("2024-01-01")
_INT64_DIGITS: Final = 19


def look_at(texts: pa.Array, before: Seen) -> Seen:
    """Return the flags in ``before``, combined with the flags (`Seen`) that describe the next strings of the column.

    If ``before`` contains `Seen.TEXT`, the strings are not read, because the column's type is ``string`` in any case.

    Args:
        texts: the next strings of the column. NULLs are ignored.
        before: the flags of the strings that were read before.
    """
    if Seen.TEXT in before or texts.null_count == len(texts):
        return before
    rest, found = texts.drop_null(), before
    # Types that were already found in the column are tried first, because they are the most likely.
    for flag in sorted(_MATCHERS, key=lambda flag: flag not in before):
        if flag is Seen.INTEGER and (integers := _canonical(rest)) is not None:
            return found | Seen.INTEGER | _no_double(integers)
        is_match, more = _MATCHERS[flag](rest)
        if is_match.any():
            found |= flag | more
            rest = rest.filter(pa.array(~is_match))
        if not len(rest):
            return found
    return found | Seen.TEXT


def type_of(seen: Seen) -> str:
    """Return Spark's name for the inferred type of a column.

    A mix of integers and decimals is ``double``, unless a double cannot hold one of the integers exactly. Any other mix
    of types is ``string``. A column without flags, which has no values or only NULLs, is ``string`` as well.

    Args:
        seen: the flags of the column.
    """
    types = seen & ~Seen.NO_DOUBLE
    if types == Seen.INTEGER:
        return "bigint"
    if types in {Seen.DECIMAL, Seen.DECIMAL | Seen.INTEGER} and Seen.NO_DOUBLE not in seen:
        return "double"
    return _TYPES.get(types, "string")


_TYPES: Final = {
    Seen.BOOLEAN: "boolean",
    Seen.DATE: "date",
    Seen.TIME: "timestamp_ntz",
    Seen.INSTANT: "timestamp",
}


def _canonical(texts: pa.Array) -> npt.NDArray[np.int64] | None:
    """Return strings converted to integers, or None if any string is not written as Arrow writes integers."""
    # This is faster than a regular expression.
    try:
        integers = texts.cast(pa.int64())
    except pa.ArrowInvalid:
        return None
    is_same = pc.all(pc.equal(integers.cast(pa.string()), texts)).as_py()
    return integers.to_numpy() if is_same else None


def _no_double(integers: npt.NDArray[np.int64]) -> Seen:
    large = integers[(integers > _LARGEST_SAFE) | (integers < -_LARGEST_SAFE)]
    return Seen(0) if all(int(float(value)) == value for value in large.tolist()) else Seen.NO_DOUBLE


def _matches(texts: pa.Array, expression: str) -> _Flags:
    return np.asarray(pc.match_substring_regex(texts, expression).to_numpy(zero_copy_only=False), dtype=bool)


def _keep_if(is_match: _Flags, texts: pa.Array, holds: Callable[[str], bool]) -> None:
    """Set ``is_match`` to False for the strings for which ``holds`` returns False.

    Only strings whose ``is_match`` is True are checked. For example, ``2024-02-31`` matches the pattern of dates but is
    not a date.
    """
    for index in np.flatnonzero(is_match):
        is_match[index] = holds(texts[int(index)].as_py())


def _match_integers(texts: pa.Array) -> tuple[_Flags, Seen]:
    is_match = _matches(texts, _INTEGER)
    is_long = is_match & (pc.binary_length(texts).to_numpy() >= _INT64_DIGITS)
    _keep_if(is_long, texts, lambda text: -(2**63) <= int(text) < 2**63)
    is_match &= is_long | (pc.binary_length(texts).to_numpy() < _INT64_DIGITS)
    return is_match, _no_double(texts.filter(pa.array(is_match)).cast(pa.int64()).to_numpy())


def _match_decimals(texts: pa.Array) -> tuple[_Flags, Seen]:
    is_match = _matches(texts, _SAFE_DECIMAL)
    if not is_match.all():
        is_other = _matches(texts, _DECIMAL) & ~is_match
        _keep_if(is_other, texts, _is_double)
        is_match |= is_other
    return is_match, Seen(0)


def _is_double(text: str) -> bool:
    """Return whether a number that matches ``_DECIMAL`` may be converted to a double.

    All of the following must hold:

    - It has at most 17 digits, not counting leading zeros and the exponent.
    - It does not overflow to infinity or underflow to zero.
    - If it is a whole number without an exponent, such as ``3.0``, the double is equal to it.
    """
    mantissa = re.split("[eE]", text)[0]
    digits = len(re.sub(r"^-?[0.]*|\.", "", mantissa))
    value = float(text)
    if digits > _DOUBLE_DIGITS or math.isinf(value) or (digits and not value):
        return False
    whole, _, fraction = mantissa.partition(".")
    return mantissa != text or bool(fraction.strip("0")) or int(whole) == value


def _match_booleans(texts: pa.Array) -> tuple[_Flags, Seen]:
    return _matches(texts, _BOOLEAN), Seen(0)


def _match_days(expression: str) -> Callable[[pa.Array], tuple[_Flags, Seen]]:
    def match(texts: pa.Array) -> tuple[_Flags, Seen]:
        is_match = _matches(texts, expression)
        try:
            pc.utf8_slice_codeunits(texts.filter(pa.array(is_match)), 0, _DAY_LENGTH).cast(pa.date32())
        except pa.ArrowInvalid:
            _keep_if(is_match, texts, _is_day)
        if expression is _INSTANT:
            is_match &= ~_matches(texts, _EDGES)
        return is_match, Seen(0)

    return match


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text[:_DAY_LENGTH])
    except ValueError:
        return False
    return True


_MATCHERS: Final[dict[Seen, Callable[[pa.Array], tuple[_Flags, Seen]]]] = {
    Seen.INTEGER: _match_integers,
    Seen.DECIMAL: _match_decimals,
    Seen.DATE: _match_days(_DATE),
    Seen.TIME: _match_days(_TIME),
    Seen.INSTANT: _match_days(_INSTANT),
    Seen.BOOLEAN: _match_booleans,
}
