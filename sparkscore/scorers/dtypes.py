"""Give a column one dtype in all mini-batches of a run, as it was decided before the first of them (worker)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceSchemaError


@dataclass(frozen=True)
class Dtypes:
    """The dtypes of a DataFrame; plain and picklable.

    What a mini-batch holds does not decide them: whoever makes this value has counted, or goes by a declaration.

    Attributes:
        are_arrow: whether columns are Arrow-backed, which hold every value, and NULLs beside them.
        with_null: integer and boolean columns in which a NULL is, or may be: they are float64 and object. The others
            are integers and booleans, and hold none.
        nan: whether a NULL among texts and booleans is NaN, as ``pandas.read_csv`` has it, and not None.
    """

    are_arrow: bool = False
    with_null: frozenset[str] = frozenset()
    nan: bool = False

    def renamed(self, names: Iterable[tuple[str, str]]) -> Dtypes:
        """Give the same for columns with other names, each beside the one that it had."""
        return replace(self, with_null=frozenset(new for old, new in names if old in self.with_null))


def has_two_dtypes(kind: pa.DataType) -> bool:
    """Whether NumPy has no dtype for a column of this type that holds a NULL, so that pandas gives it another one."""
    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def settle(rows: pa.Table, dtypes: Dtypes) -> pa.Table:
    """Make doubles of the integers that are float64 in this run, whether or not a NULL is among these rows.

    Raises:
        SourceSchemaError: a double cannot hold an integer exactly, or a NULL is where none was counted.
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
        expected="none, as the input's own statistics count them",
        next_step="Write the input again, so that its statistics are right, or set 'input.dtypes: arrow', with which a "
        "script gets columns that hold NULLs.",
    )


def _inexact(name: str) -> SourceSchemaError:
    return SourceSchemaError(
        code=ErrorCode.INPUT_INEXACT,
        what=f"input column '{name}', which is float64 since it holds NULLs",
        got="integers that float64 cannot hold exactly",
        expected="values within 2^53, or no NULLs",
        next_step="Fill the NULLs, or hand a script Arrow-backed columns with 'input.dtypes: arrow'.",
    )
