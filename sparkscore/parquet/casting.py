"""Cast Arrow arrays to other types, and raise an error if a value changes. Runs on the workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from sparkscore.signature.naming import MAX_DECIMAL_DIGITS, type_name

#: A function that converts an array to another type.
Convert = Callable[[pa.Array], pa.Array]

_BEHIND_LARGEST_BIGINT: Final = 2.0**63
_BIGINT_DIGITS: Final = 19


class InexactError(Exception):
    """Raised if a type cannot hold a value exactly. The message describes the value, but does not contain it."""


def find_cast(source: pa.DataType, target: pa.DataType) -> Convert | None:
    """Return a function that casts arrays to another type, or None if Arrow cannot cast as exactly as Spark.

    The types must be ones that Spark also has. The function raises an `InexactError` if a value would change. NULL and
    NaN stay as they are.
    """
    if source == target:
        return _unchanged
    cast = _find_steps(source, target)
    if cast is None:
        return None
    problem = f"a {type_name(source)} that {type_name(target)} does not hold exactly"

    def checked(array: pa.Array) -> pa.Array:
        try:
            return cast(array)
        except pa.ArrowInvalid as error:
            raise InexactError(problem) from error

    return checked


def as_microseconds(array: pa.Array, target: pa.DataType) -> pa.Array:
    """Return timestamps in microseconds.

    Args:
        array: timestamps in any unit. Those without a time zone count as UTC.
        target: the type of the result.

    Raises:
        InexactError: a timestamp has a fraction of a microsecond, or is too far from 1970.
    """
    try:
        return array if array.type == target else array.cast(target)
    except pa.ArrowInvalid as error:
        is_fine = array.type.unit == "ns"
        raise InexactError(
            "a time with parts of a microsecond" if is_fine else f"a time that {type_name(target)} does not hold"
        ) from error


def _find_steps(source: pa.DataType, target: pa.DataType) -> Convert | None:
    """Return a function that casts, or raises `ArrowInvalid` if a value would change. None if there is no such cast."""
    if pa.types.is_date32(source) and target == pa.timestamp("us"):
        return lambda array: array.cast(target)
    if pa.types.is_integer(source):
        return _from_integers(target)
    if pa.types.is_floating(source):
        return _from_floats(target)
    # Between decimals and floats, Spark casts the shortest text of a value, but Arrow casts its binary value.
    if pa.types.is_decimal128(source) and (pa.types.is_integer(target) or pa.types.is_decimal128(target)):
        return lambda array: array.cast(target)
    return None


def _from_integers(target: pa.DataType) -> Convert | None:
    if pa.types.is_integer(target):
        return lambda array: array.cast(target)
    if pa.types.is_floating(target):
        return lambda array: _compared(array, target, lambda _, cast: cast)
    if pa.types.is_decimal128(target) and _BIGINT_DIGITS + target.scale <= MAX_DECIMAL_DIGITS:
        # Arrow casts an integer type only to a decimal type that can hold all of its values.
        wide = pa.decimal128(_BIGINT_DIGITS + target.scale, target.scale)
        return lambda array: array.cast(wide).cast(target)
    return None


def _from_floats(target: pa.DataType) -> Convert | None:
    if pa.types.is_float64(target):
        return lambda array: array.cast(target)
    if pa.types.is_float32(target):
        return lambda array: _compared(array, target, None)
    if pa.types.is_integer(target):
        # Cast to 64 bits first: if a value is beyond the range of a smaller type, the result of the cast is undefined.
        return lambda array: _compared(array, pa.int64(), lambda stored, _: stored).cast(target)
    return None


def _compared(
    array: pa.Array, target: pa.DataType, in_range: Callable[[pa.Array, pa.Array], pa.Array] | None
) -> pa.Array:
    """Cast an array, and check that casting the result back gives the same values.

    Args:
        array: the values.
        target: the type of the result.
        in_range: a function that takes the values and the cast values, and returns whichever of the two are floats.
            They must be below 2**63: 2**63 is cast to the integer 2**63 - 1, which is cast to 2**63 again, so casting
            back does not show the change. None for casts between floats.

    Raises:
        pa.ArrowInvalid: casting a value there and back changes it.
    """
    cast = array.cast(target, safe=False)
    back = cast.cast(array.type, safe=False)
    is_equal = pc.equal(back, array)
    if in_range is None:
        is_equal = pc.or_(is_equal, pc.and_(pc.is_nan(back), pc.is_nan(array)))
    else:
        is_equal = pc.and_(is_equal, pc.less(in_range(array, cast), _BEHIND_LARGEST_BIGINT))
    if not pc.all(is_equal, min_count=0).as_py():
        raise pa.ArrowInvalid("a value is not equal after the cast")
    return cast


def _unchanged(array: pa.Array) -> pa.Array:
    return array
