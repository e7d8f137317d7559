"""Give each DataFrame column the same dtype in all mini-batches of a run. Runs on the driver and the workers.

The driver chooses the dtypes before scoring. Otherwise, an integer column would be int64 in a mini-batch without NULLs
and float64 in a mini-batch with NULLs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceSchemaError


@dataclass(frozen=True)
class Dtypes:
    """The dtype options for all DataFrames in a run. Instances can be pickled.

    The driver chooses them before scoring, based on the deployment and the NULLs in the input.

    Attributes:
        are_arrow: whether all columns are Arrow-backed. The other attributes have no effect on Arrow-backed columns,
            which can hold NULLs whatever their type.
        with_null: names of the integer and boolean columns that may contain NULLs. The integer columns among them
            become float64, and the boolean columns get dtype object. All other integer and boolean columns keep their
            type and must not contain NULLs.
        nan: whether a NULL in a string or boolean column becomes NaN, as in ``pandas.read_csv``, instead of None.
    """

    are_arrow: bool = False
    with_null: frozenset[str] = frozenset()
    nan: bool = False

    def renamed(self, names: Iterable[tuple[str, str]]) -> Dtypes:
        """Return a copy of these dtype options in which the columns in ``with_null`` are renamed.

        Columns without a new name are left out of ``with_null``.

        Args:
            names: (old name, new name) pairs.
        """
        return replace(self, with_null=frozenset(new for old, new in names if old in self.with_null))


def has_two_dtypes(arrow_type: pa.DataType) -> bool:
    """Return whether the pandas dtype of an Arrow column depends on whether it contains NULLs.

    This is the case for integers and booleans, because pandas dtypes such as int64 and bool cannot represent NULL.
    """
    return bool(pa.types.is_integer(arrow_type) or pa.types.is_boolean(arrow_type))


def settle(rows: pa.Table, dtypes: Dtypes) -> pa.Table:
    """Convert the integer columns in ``dtypes.with_null`` to doubles.

    pandas does the same, but only if a column actually contains a NULL. If ``dtypes.are_arrow`` is set, no column is
    converted or checked.

    Raises:
        SourceSchemaError: an integer to convert is beyond ±2^53, or an integer or boolean column that is not in
            ``dtypes.with_null`` contains a NULL.
    """
    plain = rows.replace_schema_metadata(None)
    if dtypes.are_arrow:
        return plain
    settled = plain
    for index, field in enumerate(plain.schema):
        if has_two_dtypes(field.type):
            settled = settled.set_column(index, field.name, _settled(field.name, plain.column(index), dtypes))
    return settled


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
