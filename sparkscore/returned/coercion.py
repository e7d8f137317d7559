"""Convert a column's values to an Arrow array of a Spark type without changing any value. Runs on the workers."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from sparkscore.returned.arrays import convert_array
from sparkscore.returned.forms import Form, Objects, Vector, head, open_values
from sparkscore.returned.objects import convert_objects
from sparkscore.returned.refusal import Refusal, raised_for
from sparkscore.returned.vectors import convert_vector
from sparkscore.signature.naming import type_name


def coerce(values: Any, type: pa.DataType, column: str) -> pa.Array:  # noqa: A002 - as in pa.array(values, type)
    """Convert values to an Arrow array of the given type without changing any value.

    Missing values become NULL. NaN stays NaN in a float column. No value is rounded, truncated, parsed or formatted.
    ``values`` is not modified. If it is a NumPy array, the result does not share its memory.

    Args:
        values: a list of Python or NumPy values, a NumPy array (with the elements along its first axis), a pandas
            Series, Index or extension array, an Arrow array, or the result of `open_values`.
        type: the Arrow type of the column.
        column: the column name, for error messages.

    Raises:
        OutputContractError: a value does not fit the type, or Python strings or bytes exceed 2 GiB in total (code
            ``OUTPUT_TYPE``). For a value that does not fit, the message gives the column and the number of the first
            such element.
    """
    with raised_for(column, type_name(type)):
        array = _convert_or_refuse_first(open_values(values), type)
        if isinstance(array, pa.ChunkedArray):
            raise Refusal("more than 2 GiB in one column", advice="Make mini_batch_size smaller.")
        return array


def _convert_or_refuse_first(form: Form, type_: pa.DataType) -> pa.Array:
    """Convert a column, or raise a `Refusal` for its first element that cannot be converted.

    A conversion may report a later element first, because all lists of a column are checked before the values in them.
    The elements before the reported one are therefore converted again to find an earlier fault.
    """
    try:
        return _convert(form, type_)
    except Refusal as refusal:
        if refusal.position:
            _convert_or_refuse_first(head(form, refusal.position), type_)
        raise


def _convert(form: Form, type_: pa.DataType) -> pa.Array:
    if isinstance(form, Vector):
        return convert_vector(form, type_)
    if isinstance(form, Objects):
        return convert_objects(form, type_)
    return convert_array(form, type_)
