"""Give each column of a DataFrame the same dtype in all mini-batches of a run (driver and worker).

The driver chooses the dtypes before scoring. Without this, an integer column would be int64 in a mini-batch without a
NULL and float64 in a mini-batch with a NULL.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceSchemaError


@dataclass(frozen=True)
class Dtypes:
    """The choice of dtypes for all DataFrames of a run. It can be pickled.

    The driver makes the choice before scoring, from the deployment and from the NULLs in the input.

    Attributes:
        are_arrow: whether all columns are Arrow-backed. Such columns can hold NULLs in every type.
        with_null: names of the integer and boolean columns that may hold a NULL in some mini-batch. These integer
            columns become float64, and these boolean columns get dtype object. Other integer and boolean columns keep
            their type and must not hold a NULL. The attribute has no effect on Arrow-backed columns.
        nan: whether a NULL in a column of strings or booleans becomes NaN, as in ``pandas.read_csv``. If False, such a
            NULL becomes None. The attribute has no effect on Arrow-backed columns.
    """

    are_arrow: bool = False
    with_null: frozenset[str] = frozenset()
    nan: bool = False

    def renamed(self, names: Iterable[tuple[str, str]]) -> Dtypes:
        """Return the same choice of dtypes for renamed columns. A column without a new name is left out.

        Args:
            names: pairs of the old and the new name of a column.
        """
        return replace(self, with_null=frozenset(new for old, new in names if old in self.with_null))


def has_two_dtypes(arrow_type: pa.DataType) -> bool:
    """Return whether a column of this Arrow type gets a different pandas dtype if it holds a NULL.

    The result is True for integers and booleans, because the pandas dtypes int64, int32, bool and so on have no NULL.
    """
    return bool(pa.types.is_integer(arrow_type) or pa.types.is_boolean(arrow_type))


def settle(rows: pa.Table, dtypes: Dtypes) -> pa.Table:
    """Convert each integer column that may hold a NULL in some mini-batch of the run to doubles.

    pandas does so with a column that has a NULL. If the DataFrames of the run are Arrow-backed, no column is converted.

    Raises:
        SourceSchemaError: an integer that must become a double is beyond ±2^53, or an integer or boolean column that is
            not in ``dtypes.with_null`` holds a NULL. No error is raised if the DataFrames are Arrow-backed.
    """
    plain = rows.replace_schema_metadata(None)
    if dtypes.are_arrow:
        return plain
    columns = [
        _settled(name, column, dtypes) if has_two_dtypes(column.type) else column
        for name, column in zip(plain.column_names, plain.columns, strict=True)
    ]
    return pa.Table.from_arrays(columns, names=plain.column_names)


def _settled(name: str, column: pa.ChunkedArray, dtypes: Dtypes) -> pa.ChunkedArray:
    if name not in dtypes.with_null:
        if column.null_count:
            raise _uncounted(name)
        return column
    if pa.types.is_boolean(column.type):
        return column
    try:
        return column.cast(pa.float64())
    except pa.ArrowInvalid:
        raise _inexact(name) from None


def _uncounted(name: str) -> SourceSchemaError:
    return SourceSchemaError(
        code=ErrorCode.INPUT_NULL,
        what=f"input column '{name}'",
        got="a NULL",
        expected="none, according to the input's own statistics",
        next_step="Write the input again, so that its statistics are right, or set 'input.dtypes: arrow', which gives "
        "a script columns that can hold NULLs.",
    )


def _inexact(name: str) -> SourceSchemaError:
    return SourceSchemaError(
        code=ErrorCode.INPUT_INEXACT,
        what=f"input column '{name}', which is float64 since it holds NULLs",
        got="integers that float64 cannot hold exactly",
        expected="values within 2^53, or no NULLs",
        next_step="Fill the NULLs, or give a script Arrow-backed columns with 'input.dtypes: arrow'.",
    )
