"""Turn columns into what a model takes, exactly or not at all: Arrow columns, or tensors without pandas (worker)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SignatureMismatchError
from sparkscore.signature import type_name
from sparkscore.signature.model_signature import Feed

Tensor = npt.NDArray[Any]
_MASK_ADVICE: Final = "Fill the NULLs beforehand, or use a model that takes doubles there."
_ROUND_ADVICE: Final = "Correct the input, or let numbers be rounded with 'model.round_inputs: true'."
# ONNX Runtime makes the text 'None' of a None.
_TEXT_ADVICE: Final = (
    "A tensor of texts has no NULL. Fill the NULLs beforehand with the text that stood for them in training, or "
    "tolerate such rows with 'settings.error_threshold'."
)


def feed_columns(rows: pa.Table, feeds: Sequence[Feed]) -> pa.Table:
    """Give the columns of a model, by its names, in its types.

    Raises:
        SignatureMismatchError: a value does not fit: a NULL among integers or booleans, or a number out of range.
    """
    return pa.table(
        {name: _column(rows, column, feed) for feed, (column, name) in zip(feeds, names_of(feeds), strict=True)}
    )


def names_of(feeds: Sequence[Feed]) -> list[tuple[str, str]]:
    """Give each column that a model gets with the name that the model knows it by."""
    return [(feed.columns[0], feed.name or feed.columns[0]) for feed in feeds if feed.columns]


def feed_tensor(rows: pa.Table, feed: Feed) -> Tensor:
    """Give a tensor of shape ``(rows, …)``, in C order, that owns its memory or shares Arrow's read-only.

    NULL is NaN in a tensor of floats.

    Raises:
        SignatureMismatchError: a value does not fit: a NULL where there is no NaN, lists of different lengths.
    """
    shape = feed.shape or (-1,)
    inner = shape[1:]
    if len(feed.columns) == 1:
        values, widths = _flat_values(_column(rows, feed.columns[0], feed), feed, len(inner))
        return values.reshape(rows.num_rows, *_sizes(inner, widths, feed, rows.num_rows, len(values)))
    matrix = np.empty((rows.num_rows, len(feed.columns)), dtype=_dtype(feed.type))
    for index, name in enumerate(feed.columns):
        matrix[:, index] = _values(_column(rows, name, feed), name)
    return matrix.reshape(rows.num_rows, *_sizes(inner, [], feed, rows.num_rows, matrix.size))


def _column(rows: pa.Table, name: str, feed: Feed) -> pa.Array:
    column = rows.column(name).combine_chunks()
    array = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    if feed.type is None:
        return array
    wanted = feed.type if feed.shape is None else _type_of_lists(array.type, feed.type)
    cast = _cast(array, wanted, name, rounds=feed.rounds)
    if feed.shape is None and not feed.takes_null:
        _refuse_nulls(cast, name)
    return cast


def _type_of_lists(given: pa.DataType, element: pa.DataType) -> pa.DataType:
    return pa.list_(_type_of_lists(given.value_type, element)) if _is_list(given) else element


def _cast(array: pa.Array, wanted: pa.DataType, name: str, *, rounds: bool) -> pa.Array:
    if array.type.equals(wanted):
        return array
    try:
        if pa.types.is_timestamp(array.type) and pa.types.is_timestamp(wanted) and wanted.tz is None:
            return _to_utc(array).cast(wanted)
        if rounds and _innermost(wanted) in {pa.float16(), pa.float32(), pa.float64()}:
            return pc.cast(_half_way(array, wanted), wanted, safe=False)
        return array.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        kind = type_name(wanted).removeprefix("Arrow ")
        is_rounded = pa.types.is_floating(_innermost(wanted)) and pa.types.is_integer(_innermost(array.type))
        advice = _ROUND_ADVICE if is_rounded else "Correct the input, or use a model with wider types."
        raise _refusal(name, f"values that are no {kind}", kind, advice) from None


def _to_utc(array: pa.Array) -> pa.Array:
    """Take the zone off an instant, so that its clock reading is UTC's."""
    return (
        array
        if array.type.tz is None
        else array.cast(pa.timestamp(array.type.unit, "UTC")).cast(pa.int64()).cast(pa.timestamp(array.type.unit))
    )


def _half_way(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Give what Arrow casts to the nearest float: not decimals, and for half floats not integers."""
    if pa.types.is_decimal(_innermost(array.type)):
        return pc.cast(
            pc.cast(array, _type_of_lists(array.type, pa.string())), _type_of_lists(array.type, pa.float64())
        )
    if _innermost(wanted) == pa.float16() and not pa.types.is_floating(_innermost(array.type)):
        return pc.cast(array, _type_of_lists(array.type, pa.float64()), safe=False)
    return array


def _refuse_nulls(array: pa.Array, name: str) -> None:
    kind = array.type
    if array.null_count and (pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise _refusal(name, f"{array.null_count} NULLs", f"{type_name(kind)} without NULLs", _MASK_ADVICE)


def _flat_values(array: pa.Array, feed: Feed, depth: int) -> tuple[Tensor, list[int]]:
    """Open lists in lists; each level must have one length."""
    widths: list[int] = []
    name = feed.columns[0]
    while _is_list(array.type):
        if array.null_count:
            raise _refusal(name, f"{array.null_count} NULLs", "a list in every row", _MASK_ADVICE)
        lengths = pc.unique(pc.list_value_length(array))
        if len(lengths) > 1:
            found = pc.min_max(lengths).as_py()
            raise _refusal(
                name,
                f"lists of {found['min']} to {found['max']} values",
                "lists of one length",
                "Make the lists of one length, as the model's tensor has them.",
            )
        widths.append(int(lengths[0].as_py()) if len(lengths) else 0)
        array = array.flatten()
    return _values(array, name), widths if depth else []


def _sizes(inner: tuple[int, ...], widths: list[int], feed: Feed, rows: int, found: int) -> list[int]:
    """Give the size of each dimension behind the batch's: the model's own, or what the values make of a free one."""
    if (
        rows
        and len(widths) == len(inner) > 1
        and any(0 <= size != width for size, width in zip(inner, widths, strict=True))
    ):
        raise _refusal(
            feed.columns[0],
            f"lists of shape {widths}",
            f"shape {list(inner)}",
            "Give the model lists of its own shape.",
        )
    sizes = [width if size < 0 else size for size, width in zip(inner, widths, strict=False)]
    sizes += list(inner[len(sizes) :])
    if sizes.count(-1) == 1:
        known = int(np.prod([size for size in sizes if size >= 0], dtype=np.int64))
        sizes[sizes.index(-1)] = found // (rows * known) if rows and known else 0
    if -1 in sizes or int(np.prod(sizes, dtype=np.int64)) * rows != found:
        raise _refusal(
            ", ".join(feed.columns[:3]),
            f"{found // rows if rows else 0} values in a row",
            f"shape {list(inner)}",
            "Give the model columns or lists of its own width.",
        )
    return sizes


def _values(array: pa.Array, name: str) -> Tensor:
    """Give NumPy's form of the values; NULL is NaN where there is one."""
    if pa.types.is_floating(array.type):
        filled = array.fill_null(pa.scalar(float("nan")).cast(array.type)) if array.null_count else array
        return np.asarray(filled.to_numpy(zero_copy_only=False))
    if array.null_count:
        advice = (
            _TEXT_ADVICE if pa.types.is_string(array.type) or pa.types.is_large_string(array.type) else _MASK_ADVICE
        )
        raise _refusal(name, f"{array.null_count} NULLs", f"{type_name(array.type)} without NULLs", advice)
    return np.asarray(array.to_numpy(zero_copy_only=False))


def _dtype(type_: pa.DataType | None) -> np.dtype[Any]:
    if type_ is None or pa.types.is_string(type_) or pa.types.is_binary(type_):
        return np.dtype(object)
    found: np.dtype[Any] = np.dtype(type_.to_pandas_dtype())
    return found


def _innermost(type_: pa.DataType) -> pa.DataType:
    return _innermost(type_.value_type) if _is_list(type_) else type_


def _is_list(type_: pa.DataType) -> bool:
    return bool(pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_))


def _refusal(column: str, got: str, expected: str, next_step: str) -> SignatureMismatchError:
    return SignatureMismatchError(
        code=ErrorCode.MODEL_INPUT_VALUE,
        what=f"input column '{column}'",
        got=got,
        expected=expected,
        next_step=next_step,
    )
