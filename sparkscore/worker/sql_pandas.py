"""Compute an SQL function from pandas objects, for Spark 4.0, which has no functions of Arrow arrays.

Runs on the workers.

Spark 4.0 turns a column of integers with a NULL into doubles. From 2^53 on, such a double may differ from the integer,
so its row fails. NULL and NaN look alike there, and both count as NULL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SourceSchemaError
from sparkscore.outcome import Failure
from sparkscore.signature import type_name
from sparkscore.worker.sql_call import FunctionSpec, call_function, call_with_struct

# The bigint 2^53 + 1 becomes this double, too.
_FIRST_DOUBTFUL: Final = 2.0**53
_STATE: Final = "Nothing was registered."


def call_from_pandas(
    spec: FunctionSpec, positional: Sequence[pd.Series[Any]], named: Mapping[str, pd.Series[Any]]
) -> pd.DataFrame:
    """Score one batch of rows, like `call_function`, and return a DataFrame with one row for each."""
    failed: dict[int, Failure] = {}
    for series in (*positional, *named.values()):
        failed |= _doubtful(series)
    arrays = [_array(series) for series in positional]
    others = {name: _array(series) for name, series in named.items()}
    return _frame(call_function(spec, arrays, others, failed))


def call_with_frame(spec: FunctionSpec, row: pd.DataFrame) -> pd.DataFrame:
    """Score one batch of rows whose arguments are columns of a DataFrame, like `call_with_struct`."""
    columns = [row.iloc[:, number] for number in range(row.shape[1])]
    known = [str(name) for name in row.columns]
    taken = {argument.name.lower() for argument in spec.arguments}
    failed: dict[int, Failure] = {}
    for name, series in zip(known, columns, strict=True):
        failed |= _doubtful(series) if name.lower() in taken else {}
    fields = [_array(series) for series in columns]
    return _frame(call_with_struct(spec, pa.StructArray.from_arrays(fields, names=known), failed))


def refuse_types(spec: FunctionSpec) -> None:
    """Raise an error if Spark 4.0 would change values of the function's arguments or results. Runs on the driver.

    Raises:
        ConfigError: an argument or a result has such a type.
    """
    outputs = list(zip(spec.columns, spec.result.predictions.types, strict=True))
    wrong = [(each.name, each.type) for each in spec.arguments if _is_nested(each.type) or _is_time(each.type)]
    wrong += [(name, type_) for name, type_ in outputs if _is_time(type_) or _is_nested(_element(type_))]
    if wrong:
        name, type_ = wrong[0]
        raise ConfigError(
            code=ErrorCode.SQL_UNSUPPORTED,
            what=f"'{name}' of function '{spec.name}'",
            got=f"{type_name(type_)}, which Spark 4.0 passes through pandas, with other values",
            expected="numbers, texts, booleans, binaries and dates; results also arrays of these",
            state=_STATE,
            next_step="Use Spark 4.1 or later, or declare the column as a string and convert it in the script.",
        )


def _is_nested(type_: pa.DataType) -> bool:
    return bool(pa.types.is_nested(type_))


def _is_time(type_: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(type_))


def _element(type_: pa.DataType) -> pa.DataType:
    return type_.value_type if pa.types.is_list(type_) else type_


def _doubtful(series: pd.Series[Any]) -> dict[int, Failure]:
    """Return the failures of numbers that may have been integers which a double cannot hold, by position."""
    if series.dtype != np.float64 or not series.isna().any():
        return {}
    failure = Failure(
        ErrorCode.SQL_ARGUMENT_VALUE,
        message="an argument: got a number from 2^53 on beside NULL or NaN, which may be a bigint that Spark 4.0 has "
        "rounded",
        next_step="Replace the NULLs with COALESCE, or use Spark 4.1 or later.",
    )
    values = np.abs(series.to_numpy())
    return {int(position): failure for position in np.flatnonzero((values >= _FIRST_DOUBTFUL) & np.isfinite(values))}


def _array(series: pd.Series[Any]) -> pa.Array:
    found = pa.array(series.tolist()) if series.dtype == object else pa.array(series, from_pandas=True)
    if pa.types.is_timestamp(found.type) or pa.types.is_nested(found.type):
        raise SourceSchemaError(
            code=ErrorCode.SQL_ARGUMENT_TYPE,
            what="an argument of the function",
            got=type_name(found.type),
            expected="a number, text, boolean, binary or date, as Spark 4.0 passes others through pandas",
            state="The query was stopped.",
            next_step="Use Spark 4.1 or later.",
        )
    return found


def _frame(result: pa.StructArray) -> pd.DataFrame:
    columns = {field.name: _series(array) for field, array in zip(result.type, result.flatten(), strict=True)}
    return pd.DataFrame(columns)


def _series(array: pa.Array) -> pd.Series[Any]:
    """Return a Series that Spark converts back to Arrow without a change."""
    if pa.types.is_nested(array.type):
        return pd.Series(array.to_pylist(), dtype=object)
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([array])))
