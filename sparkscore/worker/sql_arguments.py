"""Convert the arguments of an SQL function to the types that its model takes, without changing a value.

Runs on the workers. The driver uses it for the defaults of arguments.

A Python function of Spark gets its arguments with the types of the caller, so an argument may be a BIGINT or a DECIMAL
where the model takes a DOUBLE. A value is converted only if it stays the same; otherwise its row fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SourceSchemaError, names
from sparkscore.outcome import Failure
from sparkscore.signature import type_name
from sparkscore.signature.same_name import keys_of
from sparkscore.signature.widening import is_exact
from sparkscore.worker.intake import settle_types

# Decimal digits that every double, or every float, returns unchanged.
_DIGITS: Final = {pa.float32(): 6, pa.float64(): 15}
# Up to these numbers, each integer is a double, or a float.
_LARGEST: Final = {pa.float32(): 2**24, pa.float64(): 2**53}
_STATE: Final = "The query was stopped."


@dataclass(frozen=True)
class Argument:
    """One argument of an SQL function. Instances can be pickled.

    Attributes:
        name: the argument's name, which is the name of the column that the scorer gets.
        type: the Arrow type of that column.
        nullable: whether the argument may be NULL. If not, a row with a NULL fails.
        default: an array with one element of this type, which is used if a call leaves the argument out. None if each
            call must give the argument.
        comment: what the argument is, for the function's description.
        takes_boolean: whether a boolean may be given for a number.
        times_in_utc: whether dates and timestamps with a time zone may be given for a timestamp without one. A model
            takes such timestamps in UTC.
    """

    name: str
    type: pa.DataType
    nullable: bool = True
    default: pa.Array | None = None
    comment: str = ""
    takes_boolean: bool = False
    times_in_utc: bool = False


def arrange(
    function: str, arguments: Sequence[Argument], positional: Sequence[pa.Array], named: Mapping[str, pa.Array]
) -> dict[str, pa.Array]:
    """Return the arrays of a call by argument name. Arguments that are left out are not in the dictionary.

    Args:
        function: name of the function, for messages.
        arguments: the function's arguments.
        positional: the arrays that the call gives by position.
        named: the arrays that the call gives by name. Names are compared as Spark compares column names.

    Raises:
        ConfigError: there are too many arrays or none, an argument is missing or given twice, or a name is unknown.
    """
    known = [argument.name for argument in arguments]
    if len(positional) > len(known):
        raise _wrong_call(function, f"{len(positional) + len(named)} arguments", known)
    found = dict(zip(known, positional, strict=False))
    for given, array in named.items():
        name = next((each for each in known if keys_of(each) & keys_of(given)), None)
        if name is None:
            raise _wrong_call(function, f"an argument '{given}'", known)
        if name in found:
            raise _wrong_call(function, f"argument '{name}' twice", known)
        found[name] = array
    missing = [each.name for each in arguments if each.name not in found and each.default is None]
    if missing or not found:  # without any argument, the number of rows is not known
        raise _wrong_call(function, f"no {names(missing or known[:1])}", known)
    return found


def _wrong_call(function: str, got: str, known: Sequence[str]) -> ConfigError:
    return ConfigError(
        code=ErrorCode.SQL_ARGUMENTS,
        what=f"function '{function}'",
        got=got,
        expected=f"the arguments {', '.join(known)}",
        state=_STATE,
        next_step=f"Correct the call, for example {function}({known[0]} => …).",
    )


def convert(function: str, argument: Argument, given: pa.Array) -> tuple[pa.Array, dict[int, Failure]]:
    """Convert the values of one argument to the argument's type.

    Args:
        function: name of the function, for messages.
        argument: the argument.
        given: the values, with the caller's type.

    Returns:
        the converted values, and the failures of those that cannot be converted exactly or must not be NULL, by
        position. Such values are NULL.

    Raises:
        SourceSchemaError: no value of the caller's type can be converted.
    """
    (array,) = settle_types(pa.RecordBatch.from_arrays([given], names=["_"])).columns
    found = _converted(array, argument)
    if found is None:
        raise _wrong_type(function, argument, given.type)
    failed: dict[int, Failure] = {}
    lost = pc.and_(pc.is_valid(array), pc.is_null(found))
    if pc.any(lost).as_py():
        failed = dict.fromkeys(_positions(lost), _inexact(argument, given.type))
    if not argument.nullable and array.null_count:
        failed |= dict.fromkeys(_positions(pc.is_null(array)), _null(argument))
    return found, failed


def _positions(mask: pa.Array) -> list[int]:
    return [int(position) for position in np.flatnonzero(mask.to_numpy(zero_copy_only=False))]


def _inexact(argument: Argument, given: pa.DataType) -> Failure:
    return Failure(
        ErrorCode.SQL_ARGUMENT_VALUE,
        message=f"argument '{argument.name}': got a {type_name(given)} that {type_name(argument.type)} cannot hold "
        "exactly",
        next_step=f"Write the conversion into the query, CAST({argument.name} AS {type_name(argument.type).upper()}).",
    )


def _null(argument: Argument) -> Failure:
    return Failure(
        ErrorCode.INPUT_NULL,
        message=f"argument '{argument.name}': got NULL, expected a {type_name(argument.type)} that is not NULL",
    )


def _wrong_type(function: str, argument: Argument, given: pa.DataType) -> SourceSchemaError:
    wanted = type_name(argument.type)
    return SourceSchemaError(
        code=ErrorCode.SQL_ARGUMENT_TYPE,
        what=f"argument '{argument.name}' of function '{function}'",
        got=type_name(given),
        expected=wanted,
        state=_STATE,
        next_step=f"Write the conversion into the query: CAST({argument.name} AS {wanted.upper()}).",
    )


def _converted(array: pa.Array, argument: Argument) -> pa.Array | None:
    """Return the values with the argument's type, or None if the caller's type is wrong.

    Values that would change are NULL.
    """
    given, wanted = array.type, argument.type
    if given.equals(wanted):
        return array
    if pa.types.is_null(given):
        return pa.nulls(len(array), wanted)
    if _is_number(given) and _is_number(wanted):
        return _number(array, wanted)
    if pa.types.is_boolean(given) and argument.takes_boolean:
        return array.cast(pa.int8()).cast(wanted)
    return _time(array, argument) if pa.types.is_timestamp(wanted) else _nested(array, wanted)


def _nested(array: pa.Array, wanted: pa.DataType) -> pa.Array | None:
    if not pa.types.is_nested(wanted) or not is_exact(array.type, wanted):
        return None
    try:
        return array.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_))


def _time(array: pa.Array, argument: Argument) -> pa.Array | None:
    given, wanted = array.type, argument.type
    if wanted.tz is None and argument.times_in_utc and pa.types.is_timestamp(given):
        return array.cast(pa.int64()).cast(wanted)  # `settle_types` has changed the zone to UTC
    if wanted.tz is None and argument.times_in_utc and pa.types.is_date(given):
        return array.cast(wanted)
    return None


def _number(array: pa.Array, wanted: pa.DataType) -> pa.Array | None:
    given = array.type
    if pa.types.is_decimal(given) or pa.types.is_decimal(wanted):
        return None if pa.types.is_floating(given) else _decimal(array, wanted)
    cast = pc.cast(array.fill_null(0), wanted, safe=False)
    return pc.if_else(pc.and_(pc.is_valid(array), _is_same(array, cast)), cast, pa.scalar(None, wanted))


def _is_same(array: pa.Array, cast: pa.Array) -> pa.Array:
    """Return which numbers, none of them a decimal, are the same after a cast. NULLs count as 0."""
    given, wanted = array.type, cast.type
    values = array.fill_null(0).to_numpy(zero_copy_only=False)
    if pa.types.is_integer(given) and pa.types.is_integer(wanted):
        # A cast to fewer bits cuts off the higher ones, which shows when the number is cast back.
        return pa.array(cast.to_numpy(zero_copy_only=False).astype(values.dtype) == values)
    if pa.types.is_integer(given):
        return pa.array((values >= -_LARGEST[wanted]) & (values <= _LARGEST[wanted]))
    if pa.types.is_integer(wanted):
        limit = 2.0 ** (wanted.bit_width - 1)
        with np.errstate(invalid="ignore"):
            return pa.array((np.trunc(values) == values) & (values >= -limit) & (values < limit))
    back = cast.to_numpy(zero_copy_only=False).astype(values.dtype)
    return pa.array((back == values) | np.isnan(values))


def _decimal(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Convert decimals to another type of number, or integers to decimals.

    A decimal is the same as a double if the double is written with the same digits. This is the reading that every
    programming language gives to the digits, and always so for up to 15 digits.
    """
    if pa.types.is_decimal(array.type) and array.type.precision <= _DIGITS.get(wanted, 0):
        return pc.cast(pc.cast(array, pa.string()), wanted)
    same = _decimal_reader(wanted)
    return pa.array([None if value is None else same(Decimal(value)) for value in array.to_pylist()], wanted)


def _decimal_reader(wanted: pa.DataType) -> Callable[[Decimal], Any]:
    if pa.types.is_integer(wanted):
        limit = 2 ** (wanted.bit_width - 1)
        return lambda value: int(value) if value == int(value) and -limit <= value < limit else None
    if pa.types.is_decimal(wanted):
        # In units of the last digit, the number is an integer that has at most `precision` digits.
        scale, limit = wanted.scale, 10**wanted.precision

        def fits(value: Decimal) -> Decimal | None:
            sign, digits, exponent = value.as_tuple()
            unscaled = int("".join(map(str, digits)) or "0")
            shift = scale + int(exponent)
            whole, rest = (unscaled * 10**shift, 0) if shift >= 0 else divmod(unscaled, 10**-shift)
            return Decimal((sign, tuple(map(int, str(whole))), -scale)) if not rest and whole < limit else None

        return fits
    number: Callable[[Decimal], Any] = np.float32 if wanted == pa.float32() else float

    def reads_back(value: Decimal) -> Any:
        found = number(value)
        return found if np.isfinite(found) and Decimal(str(found)) == value else None

    return reads_back
