"""Determine the result's columns before scoring: predictions, carried columns, lineage columns. Runs on the driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    MapType,
    NumericType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from sparkscore.config import Deployment
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SinkSchemaError, SourceSchemaError, names
from sparkscore.signature.naming import to_ddl
from sparkscore.signature.same_name import doubled_names, keys_of
from sparkscore.sinks.origins import Origins, renaming_line
from sparkscore.spark.schema import from_arrow
from sparkscore.worker import LineageValues, ResultSpec
from sparkscore.worker.result import LINEAGE_SCHEMA
from sparkscore.yaml_lines import yaml_list, yaml_schema

_SIMPLE_TYPES = (
    NumericType, StringType, BinaryType, BooleanType, DateType, TimestampType, TimestampNTZType,
)  # fmt: skip


@dataclass(frozen=True)
class ResultColumns:
    """The columns of the result.

    Attributes:
        spec: the specification from which workers build the columns.
        schema: the columns as a Spark schema.
    """

    spec: ResultSpec
    schema: StructType

    @property
    def origins(self) -> Origins:
        """The origin of each result column: an input column, a prediction or a lineage column."""
        spec = self.spec
        carried = {spec.name_of_carried(name): name for name in spec.carried}
        added = {spec.name_of_added(name): name for name in (*spec.predictions.names, *LINEAGE_SCHEMA.names)}
        return Origins(carried, added, dict(spec.renamed))


def check_input_types(rows: StructType) -> None:
    """Raise an error if an input column has a type that Arrow or Parquet cannot store exactly.

    Raises:
        SourceSchemaError: a column has such a type. The message suggests an ``input.columns`` line without these
            columns.
    """
    refused = [field for field in rows if not _is_carriable(field.dataType)]
    if refused:
        kept = [field.name for field in rows if field not in refused]
        raise SourceSchemaError(
            code=ErrorCode.INPUT_TYPES,
            what=f"input columns {names(field.name for field in refused)}",
            got=names({field.dataType.typeName() for field in refused}),
            expected="types that Arrow and Parquet hold exactly",
            next_step=f"Leave them out with 'input.columns: {yaml_list(kept)}', or cast them first.",
        )


def choose_carried(deployment: Deployment, rows: StructType | None, *, is_frame: bool) -> tuple[str, ...]:
    """Return the names of the carried columns: the input columns that are copied into the result.

    Args:
        deployment: the deployment, whose ``output.carry`` lists the columns. If ``output.carry`` is not set, all input
            columns are carried, or none if `is_frame` is True.
        rows: the input's schema, or None if the items are files.
        is_frame: whether the scoring script returns DataFrames or Arrow tables.

    Raises:
        ConfigError: ``output.carry`` lists a column that the input does not have.
    """
    present = [] if rows is None else rows.names
    wanted = deployment.output.carry
    if wanted is None:
        return () if is_frame else tuple(present)
    missing = set(wanted) - set(present)
    if missing:
        raise ConfigError(
            code=ErrorCode.CARRY_COLUMNS,
            what=f"'output.carry' names {names(missing)}",
            got=f"input columns {names(present)}" if present else "an input of files, which have no columns",
            next_step="Correct 'output.carry'.",
        )
    return tuple(wanted)


def decide_columns(
    deployment: Deployment,
    predictions: pa.Schema,
    carried: tuple[str, ...],
    rows: StructType | None,
    lineage: LineageValues,
) -> ResultColumns:
    """Return the result's columns: carried columns, predictions and lineage columns, in this order.

    Args:
        deployment: the deployment, with its renamed columns and partition columns.
        predictions: the columns that the scorer returns.
        carried: names of the input columns that are copied into the result.
        rows: the input's schema, or None if the items are files.
        lineage: the values of the lineage columns.

    Raises:
        ConfigError: Spark may treat two column names as the same name; ``columns`` or ``output.partition_by`` lists a
            column that the result does not have; or the partition columns cannot be used, for example because one is
            listed twice or because no other column is left.
    """
    _check_renames(deployment, predictions, carried, () if rows is None else rows.names)
    spec = ResultSpec(
        predictions=predictions,
        carried=carried,
        renamed=tuple(deployment.columns.items()),
        lineage=lineage,
        partition_by=tuple(deployment.output.partition_by),
    )
    added = from_arrow(spec.schema(pa.schema([(name, pa.null()) for name in carried])))
    taken = [] if rows is None else [StructField(spec.name_of_carried(name), rows[name].dataType) for name in carried]
    schema = StructType([*taken, *(StructField(field.name, field.dataType) for field in added.fields[len(carried) :])])
    _check_clashes(schema.names, spec)
    _check_partition_columns(spec.partition_by, schema.names, deployment.columns)
    return ResultColumns(spec, schema)


def refuse_missing_not_null(table: Sequence[str], result: ResultColumns) -> None:
    """Raise an error if a prediction that may be NULL would be written into a NOT NULL column of the output table.

    Without this check, the commit could fail after all items were scored. Carried columns are checked later, by
    `check_known_rows`, because their NULLs are known only after the input has been read.

    Args:
        table: names of the NOT NULL columns of the output table.
        result: the columns of the result.

    Raises:
        SinkSchemaError: a prediction may be NULL, but its column in the output table is NOT NULL. The message suggests
            declaring the prediction NOT NULL in ``output.schema``, so that only items without a value fail.
    """
    wrong = [
        field for field in result.spec.predictions if field.nullable and result.spec.name_of_added(field.name) in table
    ]
    if wrong:
        declared = to_ddl(
            pa.schema([field.with_nullable(field not in wrong and field.nullable) for field in result.spec.predictions])
        )
        raise SinkSchemaError(
            code=ErrorCode.OUTPUT_NOT_NULL,
            what=f"columns {names(field.name for field in wrong)} of the result",
            got="predictions that may be NULL",
            expected="NOT NULL, as the table has them",
            next_step=f"Set 'output.schema: {yaml_schema(declared)}'; an item without a value then fails alone.",
        )


def _is_carriable(data_type: DataType) -> bool:
    if isinstance(data_type, ArrayType):
        return _is_carriable(data_type.elementType)
    if isinstance(data_type, MapType):
        return _is_carriable(data_type.keyType) and _is_carriable(data_type.valueType)
    if isinstance(data_type, StructType):
        return bool(data_type.fields) and all(_is_carriable(field.dataType) for field in data_type)
    return isinstance(data_type, _SIMPLE_TYPES)


def _check_renames(
    deployment: Deployment, predictions: pa.Schema, carried: Sequence[str], present: Sequence[str]
) -> None:
    known = {*predictions.names, *LINEAGE_SCHEMA.names, *carried}
    unknown = set(deployment.columns) - known
    if unknown:
        left_out = unknown & set(present)
        raise ConfigError(
            code=ErrorCode.COLUMNS_UNKNOWN,
            what=f"'columns' renames {names(unknown)}",
            expected=f"columns of the result: {names(known)}",
            next_step=f"Carry {names(left_out)} with 'output.carry', or correct 'columns'."
            if left_out
            else "Correct 'columns'.",
        )


def _check_clashes(result: list[str], spec: ResultSpec) -> None:
    """Raise an error if Spark may treat two column names of the result as the same name."""
    if not (doubled := doubled_names(result)):
        return
    before = [*spec.carried, *spec.predictions.names, *LINEAGE_SCHEMA.names]
    renamed, final = dict(spec.renamed), list(result)
    # Suggest new names for columns that the deployment renames, then for added columns. Input columns keep their names.
    for can_be_renamed in (
        [new != old for old, new in zip(before, result, strict=True)],
        [position >= len(spec.carried) for position in range(len(before))],
    ):
        for position, name in enumerate(final):
            if can_be_renamed[position] and name in doubled_names(final):
                renamed[before[position]] = final[position] = _free_name(name, final)
    raise ConfigError(
        code=ErrorCode.COLUMN_CLASH,
        what=f"the result would have two columns {names(set(doubled))}",
        next_step=f"Set '{renaming_line(renamed)}' in the deployment, or leave columns out with 'output.carry'.",
    )


def _free_name(name: str, taken: Sequence[str]) -> str:
    candidates = [f"sparkscore_{name}", *(f"sparkscore_{name}_{number}" for number in range(2, 100))]
    keys = frozenset[str]().union(*map(keys_of, taken))
    return next(candidate for candidate in candidates if not keys & keys_of(candidate))


def _check_partition_columns(partition_by: tuple[str, ...], result: list[str], renamed: Mapping[str, str]) -> None:
    problem = ""
    if missing := set(partition_by) - set(result):
        now = {renamed[name] for name in missing if name in renamed}
        problem = f"{names(missing)}, which {f'is {names(now)} in' if now else 'is not in'} the result"
    elif hidden := [name for name in partition_by if name.startswith("_")]:
        problem = f"{names(hidden)}: readers pass over folders that begin with '_'"
    elif len(set(partition_by)) < len(partition_by):
        problem = "a column twice"
    elif len(partition_by) == len(result):
        problem = "all columns, so that none is left for the files"
    if problem:
        raise ConfigError(
            code=ErrorCode.PARTITION_COLUMNS,
            what=f"'output.partition_by' names {problem}",
            expected=f"some of {names(result)}",
            next_step="Correct --partition-by or 'output.partition_by'.",
        )
