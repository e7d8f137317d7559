"""Convert input columns to the columns or tensors that a model takes. Runs on the workers.

Values are converted with Arrow and NumPy, not pandas. The driver has already checked that the types can be converted. A
value that does not fit the model's type raises an error, unless the deployment allows numbers to be rounded. Even then,
a number that would become infinite raises an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SignatureMismatchError
from sparkscore.scorers.nested import is_list
from sparkscore.signature import type_name
from sparkscore.signature.model_signature import Feed

Tensor = npt.NDArray[Any]
_FLOATS: Final = frozenset({pa.float32(), pa.float64()})
_MASK_ADVICE: Final = "Fill the NULLs beforehand, or use a model that takes doubles there."
_ROUND_ADVICE: Final = "Correct the input, or have numbers rounded with 'model.round_inputs: true'."
_TYPE_ADVICE: Final = "Correct the input, or use a model with wider types."
# ONNX Runtime converts None to the string 'None'.
_TEXT_ADVICE: Final = (
    "A tensor of texts has no NULL. Fill the NULLs beforehand with the text that replaced them in training, or "
    "tolerate such rows with 'settings.error_threshold'."
)


def feed_columns(rows: pa.Table, feeds: Sequence[Feed]) -> pa.Table:
    """Return a table of the columns that a model takes, with the model's names and types.

    Args:
        rows: the rows of the input.
        feeds: the columns that the model takes, each with the input column that it is made from.

    Raises:
        SignatureMismatchError: a value cannot be converted to the model's type, for example because a number is out of
            range; or an integer or boolean column contains a NULL, but the model does not accept NULLs in it.
    """
    return pa.table(
        {name: _column(rows, column, feed) for feed, (column, name) in zip(feeds, names_of(feeds), strict=True)}
    )


def names_of(feeds: Sequence[Feed]) -> list[tuple[str, str]]:
    """Return a (column name, input name) pair for each of a model's inputs that is made from columns.

    If an input is made from several columns, the name of the first is used. An input without a name is named after its
    column.
    """
    return [(feed.columns[0], feed.name or feed.columns[0]) for feed in feeds if feed.columns]


def feed_tensor(rows: pa.Table, feed: Feed) -> Tensor:
    """Return the tensor for one of a model's inputs, in C order, with rows along the first dimension.

    In a float tensor, NULL becomes NaN. The tensor may be a read-only view of Arrow's memory.

    Args:
        rows: the rows of the input.
        feed: the model's input, with the columns that the tensor is made from.

    Raises:
        SignatureMismatchError: a value cannot be converted to the tensor's type, a column contains a NULL but the
            tensor's type has no NaN, the rows' lists differ in length, or the rows do not have the expected shape.
    """
    shape = feed.shape or (-1,)
    inner = shape[1:]
    if len(feed.columns) == 1:
        values, widths = _flat_values(_column(rows, feed.columns[0], feed), feed, len(inner))
        return values.reshape(rows.num_rows, *_sizes(inner, widths, feed, rows.num_rows, len(values)))
    matrix = _matrix(rows, feed)
    return matrix.reshape(rows.num_rows, *_sizes(inner, [], feed, rows.num_rows, matrix.size))


def _matrix(rows: pa.Table, feed: Feed) -> Tensor:
    """Return a matrix in C order, with a column for each of the feed's columns."""
    batch = _batch_of(rows, feed)
    if feed.type in _FLOATS and _have_type(batch.schema, feed.type):
        # One call for all columns takes half as long as one call per column.
        return np.asarray(batch.to_tensor(null_to_nan=True, row_major=True).to_numpy())
    matrix = np.empty((rows.num_rows, len(feed.columns)), dtype=_dtype(feed.type))
    for index, name in enumerate(feed.columns):
        matrix[:, index] = _values(batch.column(index), name)
    return matrix


def _batch_of(rows: pa.Table, feed: Feed) -> pa.RecordBatch:
    """Return the feed's columns in one record batch, converted to the feed's type if it has one."""
    chosen = rows.select(feed.columns)
    if _have_type(chosen.schema, feed.type):
        # The rows of a mini-batch may come from two record batches. Combining them in one call for all columns takes
        # half as long as one call per column.
        batches = chosen.combine_chunks().to_batches()
        if len(batches) == 1:
            return batches[0]
    columns = [_column(rows, name, feed) for name in feed.columns]
    return pa.RecordBatch.from_arrays(columns, names=list(feed.columns))


def _have_type(schema: pa.Schema, wanted: pa.DataType | None) -> bool:
    """Return whether all columns have a type. Comparing types is much faster than hashing them, as a set does."""
    return wanted is not None and all(found.equals(wanted) for found in schema.types)


def _column(rows: pa.Table, name: str, feed: Feed) -> pa.Array:
    column = rows.column(name)
    # Even a single array would be copied to be joined.
    array = column.chunk(0) if column.num_chunks == 1 else _joined(column)
    if feed.type is None:
        return array
    wanted = feed.type if feed.shape is None else _type_of_lists(array.type, feed.type)
    cast = _cast(array, wanted, name, rounds=feed.rounds)
    if feed.shape is None and not feed.takes_null:
        _refuse_nulls(cast, name)
    return cast


def _joined(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array


def _type_of_lists(given: pa.DataType, element: pa.DataType) -> pa.DataType:
    return pa.list_(_type_of_lists(given.value_type, element)) if is_list(given) else element


def _cast(array: pa.Array, wanted: pa.DataType, name: str, *, rounds: bool) -> pa.Array:
    if array.type.equals(wanted):
        return array
    try:
        if pa.types.is_timestamp(array.type) and pa.types.is_timestamp(wanted) and wanted.tz is None:
            return _to_utc(array).cast(wanted)
        if rounds and _innermost(wanted) in {pa.float16(), pa.float32(), pa.float64()}:
            return _rounded(array, wanted, name)
        return array.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        expected = type_name(wanted).removeprefix("Arrow ")
        is_rounded = pa.types.is_floating(_innermost(wanted)) and pa.types.is_integer(_innermost(array.type))
        advice = _ROUND_ADVICE if is_rounded else _TYPE_ADVICE
        raise _refusal(name, f"values that are not {expected}", expected, advice) from None


def _rounded(array: pa.Array, wanted: pa.DataType, name: str) -> pa.Array:
    """Round numbers, which may be in lists, to the nearest values of a float type.

    Raises:
        SignatureMismatchError: a finite number would become infinite.
        pa.ArrowException: Arrow cannot convert the array.
    """
    given = _as_roundable(array, wanted)
    rounded = pc.cast(given, wanted, safe=False)
    found = _count_infinite(rounded, name) - _count_infinite(given, name)
    if found:
        expected = type_name(_innermost(wanted)).removeprefix("Arrow ")
        largest = np.finfo(_dtype(_innermost(wanted))).max
        raise _refusal(name, f"{found} numbers beyond the range of {expected}", f"at most {largest:.5g}", _TYPE_ADVICE)
    return rounded


def _count_infinite(array: pa.Array, name: str) -> int:
    while is_list(array.type):
        array = array.flatten()
    return int(np.isinf(_values(array, name)).sum()) if pa.types.is_floating(array.type) else 0


def _to_utc(array: pa.Array) -> pa.Array:
    """Convert timestamps with a time zone to UTC timestamps without one. Other timestamps are returned unchanged."""
    return (
        array
        if array.type.tz is None
        else array.cast(pa.timestamp(array.type.unit, "UTC")).cast(pa.int64()).cast(pa.timestamp(array.type.unit))
    )


def _as_roundable(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Convert an array to a type that Arrow can round to the wanted float type.

    Decimals are converted to doubles. Integers and booleans are converted to doubles too if the wanted type is half
    float. Any other array is returned unchanged.
    """
    # Decimals are converted via strings, because Arrow does not always convert a decimal to the nearest double.
    if pa.types.is_decimal(_innermost(array.type)):
        return pc.cast(
            pc.cast(array, _type_of_lists(array.type, pa.string())), _type_of_lists(array.type, pa.float64())
        )
    if _innermost(wanted) == pa.float16() and not pa.types.is_floating(_innermost(array.type)):
        return pc.cast(array, _type_of_lists(array.type, pa.float64()), safe=False)
    return array


def _refuse_nulls(array: pa.Array, name: str) -> None:
    type_ = array.type
    if array.null_count and (pa.types.is_integer(type_) or pa.types.is_boolean(type_)):
        raise _refusal(name, f"{array.null_count} NULLs", f"{type_name(type_)} without NULLs", _MASK_ADVICE)


def _flat_values(array: pa.Array, feed: Feed, depth: int) -> tuple[Tensor, list[int]]:
    """Flatten a column of lists, and return the values and the length of the lists at each level.

    Args:
        array: the column. Its values may be in lists, lists of lists and so on.
        feed: the model's input, for error messages.
        depth: number of the tensor's dimensions after the first. If 0, no lengths are returned.

    Raises:
        SignatureMismatchError: a list is NULL, lists at the same level differ in length, or a value that is not a float
            is NULL.
    """
    widths: list[int] = []
    name = feed.columns[0]
    while is_list(array.type):
        if array.null_count:
            raise _refusal(name, f"{array.null_count} NULLs", "a list in every row", _MASK_ADVICE)
        lengths = pc.unique(pc.list_value_length(array))
        if len(lengths) > 1:
            found = pc.min_max(lengths).as_py()
            raise _refusal(
                name,
                f"lists of {found['min']} to {found['max']} values",
                "lists of one length",
                "Give all lists the length that the model's tensor has.",
            )
        widths.append(int(lengths[0].as_py()) if len(lengths) else 0)
        array = array.flatten()
    return _values(array, name), widths if depth else []


def _sizes(inner: tuple[int, ...], widths: list[int], feed: Feed, rows: int, found: int) -> list[int]:
    """Return the sizes of all dimensions of a tensor except the first.

    Sizes that the model leaves open are computed from the lengths of the lists or the number of values in a row.

    Args:
        inner: the sizes that the model expects for these dimensions, with -1 for any size.
        widths: the length of the column's lists at each level, outermost first.
        feed: the model's input, for error messages.
        rows: number of rows.
        found: total number of values in all rows.

    Raises:
        SignatureMismatchError: the values do not fit the shape that the model expects.
    """
    if (
        rows
        and len(widths) == len(inner) > 1
        and any(0 <= size != width for size, width in zip(inner, widths, strict=True))
    ):
        raise _refusal(
            feed.columns[0],
            f"lists of shape {widths}",
            f"shape {list(inner)}",
            "Give the model lists of the shape that it expects.",
        )
    sizes = [width if size < 0 else size for size, width in zip(inner, widths, strict=False)]
    sizes += list(inner[len(sizes) :])
    if sizes.count(-1) == 1:
        known = prod(size for size in sizes if size >= 0)
        sizes[sizes.index(-1)] = found // (rows * known) if rows and known else 0
    if -1 in sizes or prod(sizes) * rows != found:
        raise _refusal(
            ", ".join(feed.columns[:3]),
            f"{found // rows if rows else 0} values in a row",
            f"shape {list(inner)}",
            "Give the model as many values in a row as it expects.",
        )
    return sizes


def _values(array: pa.Array, name: str) -> Tensor:
    """Convert an Arrow array to a NumPy array. In a float array, NULL becomes NaN.

    Args:
        array: the Arrow array.
        name: name of the column, for the error message.

    Raises:
        SignatureMismatchError: the array contains a NULL and is not a float array.
    """
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
    return _innermost(type_.value_type) if is_list(type_) else type_


def _refusal(column: str, got: str, expected: str, next_step: str) -> SignatureMismatchError:
    return SignatureMismatchError(
        code=ErrorCode.MODEL_INPUT_VALUE,
        what=f"input column '{column}'",
        got=got,
        expected=expected,
        next_step=next_step,
    )
