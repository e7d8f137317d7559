"""Turn one Python value into one value of a Spark type, exactly or not at all; runs on workers."""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Callable
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from sparkscore.returned import kinds
from sparkscore.returned.kinds import describe, kind_of
from sparkscore.returned.refusal import DECLARE, Refusal

Cleaner = Callable[[Any, pa.DataType], Any]

INTEGER_RANGES: Final = {pa.int8(): 7, pa.int16(): 15, pa.int32(): 31, pa.int64(): 63}
WHOLE_FLOATS: Final = (
    "If the values are whole numbers, make them so with astype('Int64'); else declare the column double."
)
_FLOAT_BITS: Final = 32
_DOUBLE_BITS: Final = 64
_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - the clock of timestamp_ntz has no zone
_EPOCH_UTC: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)
FIRST_MICROS: Final = (dt.date.min - dt.date(1970, 1, 1)) // _MICROSECOND
LAST_MICROS: Final = (dt.date.max - dt.date(1969, 12, 31)) // _MICROSECOND - 1
_COARSE_UNITS: Final = frozenset({"Y", "M", "W", "D", "h", "m", "s", "ms", "us"})


def cleaner_for(type_: pa.DataType) -> Cleaner | None:
    """Give the function that cleans one value for a scalar type; None for nested types."""
    if pa.types.is_decimal128(type_):
        return clean_decimal
    return _CLEANERS.get(type_)


def storage_type(type_: pa.DataType) -> pa.DataType:
    """Give the type in which cleaned values are built: microseconds for timestamps, else the type itself."""
    return pa.int64() if pa.types.is_timestamp(type_) else type_


def clean_boolean(value: Any, _type: pa.DataType) -> bool:
    """Take only real booleans."""
    if kind_of(value) != kinds.BOOLEAN:
        raise Refusal(describe(value))
    return bool(value)


def clean_integer(value: Any, type_: pa.DataType) -> int:
    """Take integers within the type's range."""
    kind = kind_of(value)
    if kind == kinds.FLOAT:
        raise Refusal(describe(value), advice=WHOLE_FLOATS)
    if kind != kinds.INTEGER:
        raise Refusal(describe(value))
    bits, number = INTEGER_RANGES[type_], int(value)
    if not -(1 << bits) <= number < 1 << bits:
        raise out_of_range(describe(value), bits)
    return number


def out_of_range(got: str, bits: int) -> Refusal:
    """Refuse an integer that needs more bits."""
    larger = "bigint" if bits < INTEGER_RANGES[pa.int64()] else "decimal(38,0)"
    return Refusal(f"{got} outside -2^{bits} to 2^{bits}-1", advice=f"Declare the column as {larger} in output.schema.")


def clean_double(value: Any, _type: pa.DataType) -> float:
    """Take floats and integers that a 64-bit float holds exactly."""
    kind = kind_of(value)
    if kind not in (kinds.FLOAT, kinds.INTEGER):
        raise Refusal(describe(value))
    # NOTE: NumPy compares an integer of its own with a float as two floats; Python compares exactly.
    exact = int(value) if kind == kinds.INTEGER else value
    try:
        number = float(exact)
    except OverflowError:
        raise inexact(describe(value), _DOUBLE_BITS) from None
    if not (number == exact or np.isnan(number)):
        raise inexact(describe(value), _DOUBLE_BITS)
    return number


def clean_float(value: Any, type_: pa.DataType) -> float:
    """Take floats and integers that a 32-bit float holds exactly."""
    number = clean_double(value, type_)
    # A native "f" makes infinity of what is too large; the comparison sees it.
    narrow: float = struct.unpack("f", struct.pack("f", number))[0]
    if not (narrow == number or np.isnan(number)):
        raise inexact(describe(value), _FLOAT_BITS)
    return narrow


def inexact(got: str, bits: int) -> Refusal:
    """Refuse a number that a float of so many bits would round."""
    larger = "double" if bits == _FLOAT_BITS else "decimal or string"
    return Refusal(
        f"{got} that a {bits}-bit float cannot hold exactly",
        advice=f"Round it in the scoring script, or declare the column as {larger} in output.schema.",
    )


def clean_decimal(value: Any, type_: pa.DataType) -> Decimal:
    """Take decimals and integers that fit precision and scale without rounding."""
    if kind_of(value) not in (kinds.DECIMAL, kinds.INTEGER):
        raise Refusal(describe(value))
    number = Decimal(value if isinstance(value, Decimal) else int(value))
    if not number.is_finite():
        raise Refusal(f"{describe(value)} that is NaN or infinite", advice="Return None for a missing decimal.")
    # InvalidOperation is what quantize signals when the result needs more digits than the context has.
    context = Context(prec=type_.precision, traps=[Inexact, InvalidOperation])
    try:
        return number.quantize(Decimal(1).scaleb(-type_.scale), context=context)
    except (Inexact, InvalidOperation):
        raise Refusal(
            f"{describe(value)} that would be rounded or cut",
            advice="Round it in the scoring script, or declare more digits in output.schema.",
        ) from None


def clean_string(value: Any, _type: pa.DataType) -> str:
    """Take text that UTF-8 can write."""
    if kind_of(value) != kinds.STRING:
        raise Refusal(describe(value))
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refusal(
            f"{describe(value)} with a lone surrogate, which UTF-8 cannot write",
            advice="Decode the text with errors='replace', or declare the column as binary.",
        ) from None
    return text


def clean_binary(value: Any, _type: pa.DataType) -> bytes:
    """Take bytes, and memory that is plain bytes."""
    if kind_of(value) != kinds.BINARY:
        raise Refusal(describe(value))
    if isinstance(value, memoryview) and (value.format not in ("B", "b", "c") or value.ndim != 1):
        raise Refusal("memoryview of something else than bytes", advice="Return bytes.")
    return bytes(value)


def clean_date(value: Any, _type: pa.DataType) -> dt.date:
    """Take dates; a datetime is not a date."""
    if kind_of(value) != kinds.DATE:
        is_moment = kind_of(value) in (kinds.TIMESTAMP, kinds.TIMESTAMP_NTZ)
        zone = "" if kind_of(value) == kinds.TIMESTAMP else "_ntz"
        advice = f"Call .date() on it, or declare the column as timestamp{zone}." if is_moment else DECLARE
        raise Refusal(describe(value), advice=advice)
    return dt.date(value.year, value.month, value.day)


def clean_timestamp(value: Any, type_: pa.DataType) -> int:
    """Take moments with a zone for timestamp and without one for timestamp_ntz, as microseconds since 1970."""
    kind = kind_of(value)
    wanted = kinds.TIMESTAMP_NTZ if type_.tz is None else kinds.TIMESTAMP
    if kind != wanted:
        raise (
            wrong_zone(describe(value)) if kind in (kinds.TIMESTAMP, kinds.TIMESTAMP_NTZ) else Refusal(describe(value))
        )
    if isinstance(value, pd.Timestamp):
        value = value.to_datetime64()
    if isinstance(value, np.datetime64):
        return _micros_of_datetime64(value)
    epoch = _EPOCH if type_.tz is None else _EPOCH_UTC
    moment = value.replace(tzinfo=None) if type_.tz is None else value
    micros = int((moment - epoch) // _MICROSECOND)
    if not FIRST_MICROS <= micros <= LAST_MICROS:
        raise outside_years(describe(value))
    return micros


def wrong_zone(got: str) -> Refusal:
    """Refuse a moment with a zone where there is none, or the other way round."""
    return Refusal(got, advice="Set or drop the zone with tz_localize, or declare timestamp (zone) or timestamp_ntz.")


def outside_years(got: str) -> Refusal:
    """Refuse a moment that Spark's calendar does not have."""
    return Refusal(f"{got} outside the years 1 to 9999 (UTC)", advice="Return None, or declare the column as string.")


def finer_than_micros(got: str) -> Refusal:
    """Refuse a moment with nanoseconds."""
    return Refusal(f"{got} finer than microseconds", advice="Round it with .round('us'), or return a bigint.")


def micros_range(dtype: np.dtype[Any]) -> tuple[int, int] | None:
    """Give the first and last count of a time unit that Spark has; None for units too fine to reach that far.

    NumPy multiplies a coarse unit into microseconds without looking for an overflow, so we look before.
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
