"""Check that columns and nested fields declared NOT NULL have no NULLs. Runs on the workers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import OutputContractError
from sparkscore.returned.refusal import STATE


def refuse_nulls(table: pa.Table) -> None:
    """Raise an error if a table has a NULL that its schema does not allow.

    Raises:
        OutputContractError: a column, or a part of it, is NOT NULL but has a NULL (code ``OUTPUT_NULL``).
    """
    for field, column in zip(table.schema, table.columns, strict=True):
        if field.nullable and not pa.types.is_nested(field.type):
            continue
        for chunk in column.chunks:
            _refuse(field.name, field, chunk, np.arange(len(chunk)))


def _refuse(path: str, field: pa.Field, array: pa.Array, elements: npt.NDArray[np.int64]) -> None:
    """Raise an error if an array, or an array inside it, has a NULL that its field does not allow.

    Args:
        path: the column name, followed by the names of the fields that lead to this array.
        field: the array's Arrow field, which says whether NULLs are allowed.
        array: the values.
        elements: for each value in the array, the index of the column element that contains it.
    """
    if not field.nullable and array.null_count:
        position = elements[np.argmax(array.is_null().to_numpy(zero_copy_only=False))]
        raise OutputContractError(
            code=ErrorCode.OUTPUT_NULL,
            what=f"column '{path}', element {position + 1}",
            got="NULL",
            expected="a value (NOT NULL)",
            state=STATE,
            next_step="Return a value, or take NOT NULL out of output.schema.",
        )
    if pa.types.is_nested(field.type) and len(array):
        _refuse_parts(path, field.type, array, elements)


def _refuse_parts(path: str, type_: pa.DataType, array: pa.Array, elements: npt.NDArray[np.int64]) -> None:
    is_valid = array.is_valid()
    if pa.types.is_struct(type_):
        owners = elements[is_valid.to_numpy(zero_copy_only=False)]
        valid = array.filter(is_valid)
        for child, part in zip(type_, valid.flatten(), strict=True):
            _refuse(f"{path}.{child.name}", child, part, owners)
        return
    # NOTE: this package built these arrays, so their offsets start at 0, and a NULL list or map has no entries.
    owners = np.repeat(elements, np.diff(array.offsets.to_numpy()))
    if pa.types.is_map(type_):
        _refuse(f"{path}.value", type_.item_field, array.items, owners)
    else:
        _refuse(f"{path}.element", type_.value_field, array.flatten(), owners)
