"""Decide the columns of the result before scoring: predictions, carried columns, lineage columns (driver)."""

from __future__ import annotations

from collections.abc import Sequence
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
from sparkscore.errors import ConfigError, SinkSchemaError, SourceSchemaError, names
from sparkscore.signature.naming import to_ddl
from sparkscore.signature.same_name import doubled_names, keys_of
from sparkscore.spark_schema import from_arrow
from sparkscore.worker import LineageValues, ResultSpec
from sparkscore.worker.result import LINEAGE_SCHEMA

RUN_ID = "run_id"
_SIMPLE_TYPES = (
    NumericType, StringType, BinaryType, BooleanType, DateType, TimestampType, TimestampNTZType,
)  # fmt: skip


@dataclass(frozen=True)
class ResultColumns:
    """The result's columns: how workers make them, and their Spark schema."""

    spec: ResultSpec
    schema: StructType


def run_id_column(deployment: Deployment) -> str:
    """Give the name of the result's column that holds the run id."""
    return deployment.columns.get(RUN_ID, RUN_ID)


def check_input_types(rows: StructType) -> None:
    """Refuse input columns whose types do not survive the way to the worker and into the result.

    Raises:
        SourceSchemaError: with the columns and the line that leaves them out.
    """
    refused = [field for field in rows if not _is_carriable(field.dataType)]
    if refused:
        kept = [field.name for field in rows if field not in refused]
        raise SourceSchemaError(
            code="INPUT_TYPES",
            what=f"input columns {names(field.name for field in refused)}",
            got=names({field.dataType.typeName() for field in refused}),
            expected="types that Arrow and Parquet hold exactly",
            next_step=f"Leave them out with 'input.columns: [{', '.join(kept)}]', or cast them first.",
        )


def choose_carried(deployment: Deployment, rows: StructType | None, *, is_frame: bool) -> tuple[str, ...]:
    """Choose the input columns that stand beside the predictions.

    Raises:
        ConfigError: the deployment names a column that the input does not have.
    """
    present = [] if rows is None else rows.names
    wanted = deployment.output.carry
    if wanted is None:
        return () if is_frame else tuple(present)
    missing = set(wanted) - set(present)
    if missing:
        raise ConfigError(
            code="CARRY_COLUMNS",
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
    """Put the result's columns together and refuse what cannot stand in one table.

    Raises:
        ConfigError: two columns would have one name, or a name under 'columns' or 'partition_by' is none of theirs.
    """
    _check_renames(deployment, predictions)
    spec = ResultSpec(
        predictions=predictions,
        carried=carried,
        renamed=tuple(deployment.columns.items()),
        lineage=lineage,
        partition_by=tuple(deployment.output.partition_by),
    )
    added = from_arrow(spec.schema(pa.schema([(name, pa.null()) for name in carried])))
    taken = [] if rows is None else [StructField(name, rows[name].dataType) for name in carried]
    schema = StructType([*taken, *(StructField(field.name, field.dataType) for field in added.fields[len(carried) :])])
    _check_clashes(schema.names, carried, deployment)
    _check_partition_columns(spec.partition_by, schema.names)
    return ResultColumns(spec, schema)


def refuse_missing_not_null(table: Sequence[str], result: ResultColumns) -> None:
    """Refuse predictions that may be NULL where the table says NOT NULL: its commit would fail as a whole.

    What the input brings is left to the commit: whether it holds a NULL is known to nobody before it is read.

    Raises:
        SinkSchemaError: with the columns and the line that makes an item without a value fail alone.
    """
    names_of = dict(result.spec.renamed)
    wrong = [
        field for field in result.spec.predictions if field.nullable and names_of.get(field.name, field.name) in table
    ]
    if wrong:
        declared = to_ddl(
            pa.schema([field.with_nullable(field not in wrong and field.nullable) for field in result.spec.predictions])
        )
        raise SinkSchemaError(
            code="OUTPUT_NOT_NULL",
            what=f"columns {names(field.name for field in wrong)} of the result",
            got="predictions that may be NULL",
            expected="NOT NULL, as the table has them",
            next_step=f"Set 'output.schema: {declared}'; an item without a value then fails alone.",
        )


def _is_carriable(kind: DataType) -> bool:
    if isinstance(kind, ArrayType):
        return _is_carriable(kind.elementType)
    if isinstance(kind, MapType):
        return _is_carriable(kind.keyType) and _is_carriable(kind.valueType)
    if isinstance(kind, StructType):
        return bool(kind.fields) and all(_is_carriable(field.dataType) for field in kind)
    return isinstance(kind, _SIMPLE_TYPES)


def _check_renames(deployment: Deployment, predictions: pa.Schema) -> None:
    known = {*predictions.names, *LINEAGE_SCHEMA.names}
    unknown = set(deployment.columns) - known
    if unknown:
        raise ConfigError(
            code="COLUMNS_UNKNOWN",
            what=f"'columns' renames {names(unknown)}",
            expected=f"one of {names(known)}: columns that sparkscore or the script adds",
            next_step="Correct 'columns'; input columns keep their names.",
        )


def _check_clashes(result: list[str], carried: tuple[str, ...], deployment: Deployment) -> None:
    """Refuse names that Spark may take for one."""
    doubled = set(doubled_names(result))
    clashing = [name for name in dict.fromkeys(result[len(carried) :]) if name in doubled]
    if clashing:
        original = {new: old for old, new in deployment.columns.items()}
        mend = ", ".join(f"{original.get(name, name)}: {_free_name(name, result)}" for name in clashing)
        raise ConfigError(
            code="COLUMN_CLASH",
            what=f"the result would have two columns {names(clashing)}",
            next_step=f"Add 'columns: {{{mend}}}' to the deployment, or leave columns out with 'output.carry'.",
        )


def _free_name(name: str, taken: Sequence[str]) -> str:
    candidates = [f"sparkscore_{name}", *(f"sparkscore_{name}_{number}" for number in range(2, 100))]
    keys = frozenset[str]().union(*map(keys_of, taken))
    return next(candidate for candidate in candidates if not keys & keys_of(candidate))


def _check_partition_columns(partition_by: tuple[str, ...], result: list[str]) -> None:
    problem = ""
    if missing := set(partition_by) - set(result):
        problem = f"{names(missing)}, which the result does not have"
    elif hidden := [name for name in partition_by if name.startswith("_")]:
        problem = f"{names(hidden)}: readers pass over folders that begin with '_'"
    elif len(set(partition_by)) < len(partition_by):
        problem = "a column twice"
    elif len(partition_by) == len(result):
        problem = "all columns, so that none is left for the files"
    if problem:
        raise ConfigError(
            code="PARTITION_COLUMNS",
            what=f"'output.partition_by' names {problem}",
            expected=f"some of {names(result)}",
            next_step="Correct --partition-by or 'output.partition_by'.",
        )
