"""Turn a column of whatever container into an Arrow array of a Spark type, exactly or not at all; runs on workers."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from sparkscore.returned.arrays import convert_array
from sparkscore.returned.forms import Form, Objects, Vector, head, open_values
from sparkscore.returned.objects import convert_objects
from sparkscore.returned.refusal import Refusal, raised_for
from sparkscore.returned.vectors import convert_vector
from sparkscore.signature.naming import type_name


def coerce(values: Any, type: pa.DataType, column: str) -> pa.Array:  # noqa: A002 - the word of Arrow and of the design
    """Turn values into an Arrow array of the given type, every one exactly.

    ``values`` is a list of Python or NumPy values, a NumPy array (its first dimension counts), a pandas Series or
    Index, or an Arrow array. Missing values become NULL; NaN stays NaN in a float column. Nothing is rounded, cut,
    parsed or written as text. ``values`` are not changed, and the result shares no memory with a NumPy array.

    Raises:
        OutputContractError: code ``OUTPUT_TYPE``, with the column and the first element that does not fit.
    """
    with raised_for(column, type_name(type)):
        array = _convert_or_refuse_first(open_values(values), type)
        if isinstance(array, pa.ChunkedArray):
            raise Refusal("more than 2 GiB in one column", advice="Make mini_batch_size smaller.")
        return array


def _convert_or_refuse_first(form: Form, type_: pa.DataType) -> pa.Array:
    """Convert a column; nested columns are looked at level by level, so look again before the one refused."""
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
