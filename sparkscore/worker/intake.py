"""Convert rows from Spark to Arrow types that do not depend on the Spark session's settings.

Runs on the driver and the workers.

Spark returns timestamps in the session's time zone, and may return strings as Arrow's ``large_string``. The values are
the same, but the difference is visible to a script that reads the hour of a timestamp, or to a scorer that expects
``string``.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa


def settle_types(batch: pa.RecordBatch, names: Sequence[str] | None = None) -> pa.RecordBatch:
    """Return the rows with all time zones changed to UTC, and without Arrow's large types.

    Timestamps without a time zone are unchanged. ``large_string``, ``large_binary`` and ``large_list`` become
    ``string``, ``binary`` and ``list``, including inside lists, maps and structs.

    Args:
        batch: rows as returned by Spark.
        names: new column names. If None, the names are kept.
    """
    return Intake(names).settle(batch)


class Intake:
    """Settles the types of one task's record batches, as `settle_types` does.

    A schema is examined only if it differs from that of the batch before, which is rare.

    Args:
        names: new column names. If None, the names are kept.
    """

    def __init__(self, names: Sequence[str] | None = None) -> None:
        self._names = names
        self._given: pa.Schema | None = None
        self._settled = pa.schema([])
        self._changed: list[int] = []
        self._is_kept = False

    def settle(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows with settled types and the new column names."""
        if self._given is None or not batch.schema.equals(self._given, check_metadata=True):
            self._use(batch.schema)
        if self._is_kept:
            return batch
        if not self._changed:
            return batch.rename_columns(self._settled.names).replace_schema_metadata(None)
        columns = batch.columns
        for index in self._changed:
            columns[index] = columns[index].cast(self._settled.field(index).type)
        return pa.RecordBatch.from_arrays(columns, schema=self._settled)

    def _use(self, schema: pa.Schema) -> None:
        names = schema.names if self._names is None else self._names
        fields = [
            field.with_name(name).with_type(_settled(field.type)) for field, name in zip(schema, names, strict=True)
        ]
        pairs = zip(schema, fields, strict=True)
        self._changed = [index for index, (given, field) in enumerate(pairs) if given.type != field.type]
        self._given, self._settled = schema, pa.schema(fields)
        self._is_kept = schema.equals(self._settled, check_metadata=True)


def _settled(arrow_type: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(arrow_type):
        return arrow_type if arrow_type.tz is None else pa.timestamp(arrow_type.unit, "UTC")
    if pa.types.is_list(arrow_type) or pa.types.is_large_list(arrow_type):
        return pa.list_(_settled_field(arrow_type.value_field))
    if pa.types.is_map(arrow_type):
        return pa.map_(_settled_field(arrow_type.key_field), _settled_field(arrow_type.item_field))
    if pa.types.is_struct(arrow_type):
        return pa.struct([_settled_field(field) for field in arrow_type])
    if pa.types.is_large_string(arrow_type):
        return pa.string()
    return pa.binary() if pa.types.is_large_binary(arrow_type) else arrow_type


def _settled_field(field: pa.Field) -> pa.Field:
    return field.with_type(_settled(field.type))
