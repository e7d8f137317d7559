"""Find out before scoring which columns have NULLs, so that each column has one dtype in all mini-batches (driver)."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence

from pyspark.sql import DataFrame
from pyspark.sql.types import BooleanType, IntegralType, StructType

from sparkscore.errors import names
from sparkscore.run.prepare import PreparedRun
from sparkscore.scorers.dtypes import Dtypes
from sparkscore.signature.model_signature import Feed
from sparkscore.sources import Source
from sparkscore.sources.rows import find_nulls
from sparkscore.spark.jobs import input_schema
from sparkscore.stage import Decision, RunStage

logger = logging.getLogger("sparkscore")


def decide_nulls(
    prepared: PreparedRun, source: Source, feeds: tuple[Feed, ...] | None, stage: RunStage
) -> dict[str, bool]:
    """Return which integer and boolean columns of the input have a NULL, and store the answer in the stage.

    Only columns that the scorer gets in a pandas DataFrame are looked at. The answer comes from, in this order: the
    stage, if the run is resumed; the run in which the items failed, if failed items are scored again; statistics of
    the files, or columns declared NOT NULL; a Spark job that counts the NULLs of the remaining columns.

    Args:
        prepared: the checked request.
        source: the pinned input.
        feeds: the columns that the model gets; None if the scorer gets all.
        stage: the run's stage.

    Returns:
        for each such column, whether it has a NULL; empty if no column's dtype depends on it.

    Raises:
        SourceError: the input cannot be read.
        SinkError: the stored answer was changed.
    """
    rows = source.frame()
    wanted = [] if rows is None else _columns_that_matter(prepared, feeds, input_schema(rows))
    if rows is None or not wanted:
        return {}
    former = {} if prepared.failed is None else dict(prepared.failed.nulls)
    kept = stage.kept(Decision.NULLS)
    found = _decided(rows, source, wanted, dict(json.loads(kept)) if kept else former)
    stage.keep(Decision.NULLS, json.dumps(found).encode())
    _log(found)
    return found


def dtypes_of(prepared: PreparedRun, nulls: Mapping[str, bool]) -> Dtypes:
    """Return the dtypes that the columns of a mini-batch have on the workers.

    Args:
        prepared: the checked request.
        nulls: for each integer and boolean column, whether it has a NULL; from `decide_nulls`.
    """
    config = prepared.deployment.input
    are_arrow = config.dtypes == "arrow" and prepared.script is not None
    return Dtypes(are_arrow, frozenset(name for name, has_null in nulls.items() if has_null), config.nulls == "nan")


def declared_not_null(prepared: PreparedRun) -> tuple[str, ...]:
    """Return the names of the input columns that ``input.schema`` declares NOT NULL."""
    ddl = prepared.deployment.input.schema_ddl
    declared = StructType(StructType.fromDDL(ddl).fields) if ddl else StructType([])  # type: ignore[attr-defined]
    return tuple(field.name for field in declared if not field.nullable)


def _columns_that_matter(prepared: PreparedRun, feeds: tuple[Feed, ...] | None, columns: StructType) -> list[str]:
    """Return the names of the columns whose NumPy dtype depends on whether they have a NULL."""
    model_format = None if prepared.description is None else prepared.description.model_format
    takes_arrow = prepared.script is not None and prepared.deployment.input.dtypes == "arrow"
    if model_format in {"onnx", "spark"} or takes_arrow:
        return []
    given = {name for feed in feeds or () if _has_open_dtype(feed) for name in feed.columns}
    return [
        field.name
        for field in columns
        if isinstance(field.dataType, (IntegralType, BooleanType)) and (feeds is None or field.name in given)
    ]


def _has_open_dtype(feed: Feed) -> bool:
    """Whether the model gets the column in the input's own type; a column that is converted has a fixed dtype."""
    return feed.shape is None and (feed.type is None or feed.takes_null)


def _decided(rows: DataFrame, source: Source, wanted: Sequence[str], known: Mapping[str, bool]) -> dict[str, bool]:
    found = {name: known[name] for name in wanted if name in known}
    if unknown := _without(wanted, found):
        found |= {name: count > 0 for name, count in source.count_nulls(unknown).items()}
    if unknown := _without(wanted, found):
        found |= find_nulls(rows, unknown, source.snapshot.format)
    return {name: found[name] for name in wanted}


def _without(wanted: Sequence[str], found: Collection[str]) -> list[str]:
    return [name for name in wanted if name not in found]


def _log(found: Mapping[str, bool]) -> None:
    with_null = [name for name, has_null in found.items() if has_null]
    if with_null:
        logger.info("integers are float64 and booleans object in columns with a NULL: %s", names(with_null))
    if without_null := _without(list(found), with_null):
        logger.info("integer and boolean columns without a NULL keep their type: %s", names(without_null))
