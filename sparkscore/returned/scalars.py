"""Convert a single Python value to a Spark type without changing it. Runs on the workers.

Each ``clean_…`` function returns the value to store in an Arrow array, or raises a `Refusal` if the value does not fit
the type exactly.
"""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Callable
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from sparkscore.returned import value_types
from sparkscore.returned.refusal import DECLARE, Refusal
from sparkscore.returned.value_types import describe, value_type

Cleaner = Callable[[Any, pa.DataType], Any]

INTEGER_RANGES: Final = {pa.int8(): 7, pa.int16(): 15, pa.int32(): 31, pa.int64(): 63}
WHOLE_FLOATS: Final = (
    "If the values are whole numbers, convert them with astype('Int64'); if not, declare the column as double."
)
_FLOAT_BITS: Final = 32
_DOUBLE_BITS: Final = 64
_EPOCH_UTC: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_EPOCH: Final = _EPOCH_UTC.replace(tzinfo=None)
_MICROSECOND: Final = dt.timedelta(microseconds=1)
FIRST_MICROS: Final = (dt.date.min - dt.date(1970, 1, 1)) // _MICROSECOND
LAST_MICROS: Final = (dt.date.max - dt.date(1969, 12, 31)) // _MICROSECOND - 1
_COARSE_UNITS: Final = frozenset({"Y", "M", "W", "D", "h", "m", "s", "ms", "us"})


def cleaner_for(type_: pa.DataType) -> Cleaner | None:
    """Return the function that converts a value to a type, or None for types without one, such as nested types."""
    if pa.types.is_decimal128(type_):
        return clean_decimal
    return _CLEANERS.get(type_)


def storage_type(type_: pa.DataType) -> pa.DataType:
    """Return the Arrow type in which the results of a ``clean_…`` function are stored.

    For timestamps, this is int64 (microseconds since 1970). For other types, it is the type itself.
    """
    return pa.int64() if pa.types.is_timestamp(type_) else type_


def clean_boolean(value: Any, _type: pa.DataType) -> bool:
    """Return a value as a bool.

    Raises:
        Refusal: the value is not a boolean. The numbers 0 and 1 are not booleans.
    """
    if value_type(value) != value_types.BOOLEAN:
        raise Refusal(describe(value))
    return bool(value)


def clean_integer(value: Any, type_: pa.DataType) -> int:
    """Return a value as an int.

    Raises:
        Refusal: the value is not an integer, or is outside the type's range. Floats are not accepted, even if they are
            whole numbers.
    """
    found = value_type(value)
    if found == value_types.FLOAT:
        raise Refusal(describe(value), advice=WHOLE_FLOATS)
    if found != value_types.INTEGER:
        raise Refusal(describe(value))
    bits, number = INTEGER_RANGES[type_], int(value)
    if not -(1 << bits) <= number < 1 << bits:
        raise out_of_range(describe(value), bits)
    return number


def out_of_range(got: str, bits: int) -> Refusal:
    """Return the `Refusal` for an integer that is outside an integer type's range.

    Args:
        got: the value's type, for the message.
        bits: the type's number of bits, without the sign.
    """
    larger = "bigint" if bits < INTEGER_RANGES[pa.int64()] else "decimal(38,0)"
    return Refusal(f"{got} outside -2^{bits} to 2^{bits}-1", advice=f"Declare the column as {larger} in output.schema.")


def clean_double(value: Any, _type: pa.DataType) -> float:
    """Return a float or integer as a float.

    Raises:
        Refusal: the value is neither a float nor an integer, or a 64-bit float cannot hold it exactly.
    """
    found = value_type(value)
    if found not in (value_types.FLOAT, value_types.INTEGER):
        raise Refusal(describe(value))
    # NOTE: NumPy converts its integers to floats to compare them with floats. Python compares its integers exactly.
    exact = int(value) if found == value_types.INTEGER else value
    try:
        number = float(exact)
    except OverflowError:
        raise inexact(describe(value), _DOUBLE_BITS) from None
    if not (number == exact or np.isnan(number)):
        raise inexact(describe(value), _DOUBLE_BITS)
    return number


def clean_float(value: Any, type_: pa.DataType) -> float:
    """Return a float or integer as a float that fits into 32 bits.

    Raises:
        Refusal: the value is neither a float nor an integer, or a 32-bit float cannot hold it exactly.
    """
    number = clean_double(value, type_)
    # The native format "f" turns numbers that are too large into infinity, which then differs from the number.
    narrow: float = struct.unpack("f", struct.pack("f", number))[0]
    if not (narrow == number or np.isnan(number)):
        raise inexact(describe(value), _FLOAT_BITS)
    return narrow


def inexact(got: str, bits: int) -> Refusal:
    """Return the `Refusal` for a number that a float type cannot hold exactly.

    Args:
        got: the value's type, for the message.
        bits: the size of the float type in bits.
    """
    larger = "double" if bits == _FLOAT_BITS else "decimal or string"
    return Refusal(
        f"{got} that a {bits}-bit float cannot hold exactly",
        advice=f"Round it in the scoring script, or declare the column as {larger} in output.schema.",
    )


def clean_decimal(value: Any, type_: pa.DataType) -> Decimal:
    """Return a decimal or integer as a `Decimal` with the type's scale.

    Raises:
        Refusal: the value is not a finite decimal or integer, or does not fit the type's precision and scale without
            rounding.
    """
    if value_type(value) not in (value_types.DECIMAL, value_types.INTEGER):
        raise Refusal(describe(value))
    number = Decimal(value if isinstance(value, Decimal) else int(value))
    if not number.is_finite():
        raise Refusal(f"{describe(value)} that is NaN or infinite", advice="Return None for a missing decimal.")
    # quantize signals InvalidOperation if the result needs more digits than the context has.
    context = Context(prec=type_.precision, traps=[Inexact, InvalidOperation])
    try:
        return number.quantize(Decimal(1).scaleb(-type_.scale), context=context)
    except (Inexact, InvalidOperation):
        raise Refusal(
            f"{describe(value)} that would be rounded or cut",
            advice="Round it in the scoring script, or declare more digits in output.schema.",
        ) from None


def clean_string(value: Any, _type: pa.DataType) -> str:
    """Return a value as a str.

    Raises:
        Refusal: the value is not a string, or cannot be encoded as UTF-8.
    """
    if value_type(value) != value_types.STRING:
        raise Refusal(describe(value))
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refusal(
            f"{describe(value)} with a lone surrogate, which UTF-8 cannot encode",
            advice="Decode the text with errors='replace', or declare the column as binary.",
        ) from None
    return text


def clean_binary(value: Any, _type: pa.DataType) -> bytes:
    """Convert bytes, a bytearray or a memoryview to bytes.

    Raises:
        Refusal: the value has a different class, or is a memoryview that is not one-dimensional or not made of bytes.
    """
    if value_type(value) != value_types.BINARY:
        raise Refusal(describe(value))
    if isinstance(value, memoryview) and (value.format not in ("B", "b", "c") or value.ndim != 1):
        raise Refusal("memoryview of items other than bytes", advice="Return bytes.")
    return bytes(value)


def clean_date(value: Any, _type: pa.DataType) -> dt.date:
    """Return a value as a date.

    Raises:
        Refusal: the value is not a date. Datetimes are not accepted.
    """
    found = value_type(value)
    if found != value_types.DATE:
        is_datetime = found in (value_types.TIMESTAMP, value_types.TIMESTAMP_NTZ)
        zone = "" if found == value_types.TIMESTAMP else "_ntz"
        advice = f"Call .date() on it, or declare the column as timestamp{zone}." if is_datetime else DECLARE
        raise Refusal(describe(value), advice=advice)
    return dt.date(value.year, value.month, value.day)


def clean_timestamp(value: Any, type_: pa.DataType) -> int:
    """Return a datetime as the number of microseconds since 1970.

    Raises:
        Refusal: the value is not a datetime, is outside the years 1 to 9999, is more precise than microseconds, or
            does not fit the type: a timestamp needs a time zone, and a timestamp_ntz must not have one.
    """
    found = value_type(value)
    wanted = value_types.TIMESTAMP_NTZ if type_.tz is None else value_types.TIMESTAMP
    if found != wanted:
        is_datetime = found in (value_types.TIMESTAMP, value_types.TIMESTAMP_NTZ)
        raise wrong_zone(describe(value)) if is_datetime else Refusal(describe(value))
    if isinstance(value, pd.Timestamp):
        value = value.to_datetime64()
    if isinstance(value, np.datetime64):
        return _micros_of_datetime64(value)
    epoch = _EPOCH if type_.tz is None else _EPOCH_UTC
    time = value.replace(tzinfo=None) if type_.tz is None else value
    micros = int((time - epoch) // _MICROSECOND)
    if not FIRST_MICROS <= micros <= LAST_MICROS:
        raise outside_years(describe(value))
    return micros


def wrong_zone(got: str) -> Refusal:
    """Return the `Refusal` for a datetime whose time zone does not fit the column's type.

    A timestamp needs a time zone, and a timestamp_ntz must not have one.
    """
    return Refusal(got, advice="Set or drop the zone with tz_localize, or declare timestamp (zone) or timestamp_ntz.")


def outside_years(got: str) -> Refusal:
    """Return the `Refusal` for a date or datetime outside the years that Spark supports, 1 to 9999."""
    return Refusal(f"{got} outside the years 1 to 9999 (UTC)", advice="Return None, or declare the column as string.")


def finer_than_micros(got: str) -> Refusal:
    """Return the `Refusal` for a time that is more precise than microseconds."""
    return Refusal(f"{got} finer than microseconds", advice="Round it with .round('us'), or return a bigint.")


def micros_range(dtype: np.dtype[Any]) -> tuple[int, int] | None:
    """Return the first and last times that Spark supports, as integers in the unit of a datetime64 dtype.

    If the unit is finer than microseconds, return None. Callers should check values in a coarser unit against this
    range before converting them to microseconds, because NumPy may not report an overflow.

    Raises:
        Refusal: the dtype has no unit.
    """
    unit = np.datetime_data(dtype)[0]
    if unit == "generic":
        raise Refusal("datetime64 without a unit", advice="Give it one, for example astype('datetime64[us]').")
    if unit not in _COARSE_UNITS:
        return None
    bounds = np.array([FIRST_MICROS, LAST_MICROS], "M8[us]").astype(dtype).astype(np.int64)
    return int(bounds[0]), int(bounds[1])


def _micros_of_datetime64(value: np.datetime64) -> int:
    bounds = micros_range(value.dtype)
    if bounds is not None and not bounds[0] <= int(value.astype(np.int64)) <= bounds[1]:
        raise outside_years(describe(value))
    micros = value.astype("M8[us]")
    if bounds is None and micros != value:
        raise finer_than_micros(describe(value))
    count = int(micros.astype(np.int64))
    if not FIRST_MICROS <= count <= LAST_MICROS:
        raise outside_years(describe(value))
    return count


_CLEANERS: Final[dict[pa.DataType, Cleaner]] = {
    pa.bool_(): clean_boolean,
    pa.int8(): clean_integer,
    pa.int16(): clean_integer,
    pa.int32(): clean_integer,
    pa.int64(): clean_integer,
    pa.float32(): clean_float,
    pa.float64(): clean_double,
    pa.string(): clean_string,
    pa.binary(): clean_binary,
    pa.date32(): clean_date,
    pa.timestamp("us"): clean_timestamp,
    pa.timestamp("us", "UTC"): clean_timestamp,
}
