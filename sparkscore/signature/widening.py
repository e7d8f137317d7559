"""Decide whether a cast between two Arrow types keeps every value. Runs on the driver."""

from __future__ import annotations

import pyarrow as pa

from sparkscore.signature.model_signature import is_optional

# For each float type, the number of bits up to which it can hold all integers exactly.
_MANTISSA = {pa.float16(): 11, pa.float32(): 24, pa.float64(): 53}


def is_exact(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Return whether a cast from ``given`` to ``wanted`` is known to keep every value.

    Casts from dates and timestamps to timestamps are treated as exact. If both types are structs, ``given`` may have
    additional fields and may lack optional fields, but at least one field must be in both.

    >>> is_exact(pa.int32(), pa.float64()), is_exact(pa.int64(), pa.float64())
    (True, False)
    """
    if given.equals(wanted):
        return True
    if is_list(given) and is_list(wanted):
        return is_exact(given.value_type, wanted.value_type)
    if pa.types.is_struct(given) and pa.types.is_struct(wanted):
        return _holds_fields(given, wanted)
    if pa.types.is_map(given) and pa.types.is_map(wanted):
        return is_exact(given.key_type, wanted.key_type) and is_exact(given.item_type, wanted.item_type)
    if pa.types.is_timestamp(wanted):
        # Models take naive timestamps in UTC. A date becomes midnight.
        return bool(pa.types.is_date(given) or pa.types.is_timestamp(given))
    return _is_wider_number(given, wanted) or (_is_text(given) and _is_text(wanted)) or _are_bytes(given, wanted)


def is_checked(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Return whether a cast converts signed to unsigned integers, so that each value must be checked.

    This also applies to lists of integers. Such casts are needed for tensors of unsigned integers, because Spark only
    has signed ones. Some values, such as negative numbers, do not fit.
    """
    if is_list(given) and is_list(wanted):
        return is_checked(given.value_type, wanted.value_type)
    return bool(pa.types.is_signed_integer(given) and pa.types.is_unsigned_integer(wanted))


def without_absent(given: pa.DataType, wanted: pa.DataType) -> pa.DataType:
    """Return the type ``wanted`` without the struct fields that ``given`` lacks, also inside lists and map values."""
    if is_list(given) and is_list(wanted):
        return pa.list_(without_absent(given.value_type, wanted.value_type))
    if pa.types.is_map(given) and pa.types.is_map(wanted):
        return pa.map_(wanted.key_type, without_absent(given.item_type, wanted.item_type))
    if pa.types.is_struct(given) and pa.types.is_struct(wanted):
        have = {field.name: field.type for field in given}
        kept = [field for field in wanted if field.name in have]
        return pa.struct([(field.name, without_absent(have[field.name], field.type)) for field in kept])
    return wanted


def is_rounded(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Return whether a cast converts numbers, or lists of numbers, to floats.

    Such a cast can round each number to the nearest value of the type ``wanted``.
    """
    if is_list(given) and is_list(wanted):
        return is_rounded(given.value_type, wanted.value_type)
    is_number = pa.types.is_integer(given) or pa.types.is_floating(given) or pa.types.is_decimal(given)
    return bool(is_number and pa.types.is_floating(wanted))


def is_in_group(given: pa.DataType, group: str) -> bool:
    """Return whether a type belongs to a group: ``text``, ``integer``, ``number`` or ``boolean``.

    The group ``number`` contains the integer and float types, but not the decimal types.
    """
    if group == "boolean":
        return bool(pa.types.is_boolean(given))
    if group == "integer":
        return bool(pa.types.is_integer(given))
    if group == "number":
        return bool(pa.types.is_integer(given) or pa.types.is_floating(given))
    return group == "text" and _is_text(given)


def _is_wider_number(given: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_integer(given):
        bits = given.bit_width - (1 if pa.types.is_signed_integer(given) else 0)
        if pa.types.is_integer(wanted):
            room = wanted.bit_width - (1 if pa.types.is_signed_integer(wanted) else 0)
            has_sign = pa.types.is_signed_integer(wanted) or not pa.types.is_signed_integer(given)
            return bool(has_sign and bits <= room)
        return bool(bits <= _MANTISSA.get(wanted, 0))
    both = pa.types.is_floating(given) and pa.types.is_floating(wanted)
    return bool(both and given.bit_width <= wanted.bit_width)


def _holds_fields(given: pa.DataType, wanted: pa.DataType) -> bool:
    have = {field.name: field.type for field in given}
    # Optional fields may be missing, but at least one field must be present.
    return any(field.name in have for field in wanted) and all(
        is_exact(have[field.name], field.type) if field.name in have else is_optional(field) for field in wanted
    )


def is_list(type_: pa.DataType) -> bool:
    """Return whether a type is a list, a large list or a fixed-size list."""
    return bool(pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_))


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def _are_bytes(given: pa.DataType, wanted: pa.DataType) -> bool:
    return all(pa.types.is_binary(type_) or pa.types.is_large_binary(type_) for type_ in (given, wanted))
