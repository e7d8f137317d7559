"""Give rows from Spark the Arrow types that they have in every session (worker).

A session labels instants with its own time zone, and may hand over texts in Arrow's large types: the same values, and
yet a script that asks for the hour, or a scorer that asks for a text, would see a difference.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa


def settle_types(batch: pa.RecordBatch, names: Sequence[str] | None = None) -> pa.RecordBatch:
    """Give the rows with all instants in UTC and without large types; no value changes.

    Args:
        batch: rows as Spark gives them.
        names: the columns' names, where those in the batch are others.
    """
    names = batch.schema.names if names is None else names
    fields = [
        field.with_name(name).with_type(_settled(field.type)) for field, name in zip(batch.schema, names, strict=True)
    ]
    columns = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(batch.columns, fields, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _settled(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return kind if kind.tz is None else pa.timestamp(kind.unit, "UTC")
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_settled_field(kind.value_field))
    if pa.types.is_map(kind):
        return pa.map_(_settled_field(kind.key_field), _settled_field(kind.item_field))
    if pa.types.is_struct(kind):
        return pa.struct([_settled_field(field) for field in kind])
    if pa.types.is_large_string(kind):
        return pa.string()
    return pa.binary() if pa.types.is_large_binary(kind) else kind


def _settled_field(field: pa.Field) -> pa.Field:
    return field.with_type(_settled(field.type))
