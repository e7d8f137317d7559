"""Find out before scoring which columns have NULLs, so that dtypes are the same in all mini-batches.

Runs on the driver.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence

from pyspark.sql.types import BooleanType, IntegralType, StructType

from sparkscore.errors import names
from sparkscore.run.prepare import PreparedRun
from sparkscore.scorers.dtypes import Dtypes
from sparkscore.signature.model_signature import Feed
from sparkscore.sources import Source
from sparkscore.sources.rows import find_nulls
from sparkscore.stage import Decision, RunStage

logger = logging.getLogger("sparkscore")


def decide_nulls(
    prepared: PreparedRun, source: Source, feeds: tuple[Feed, ...] | None, stage: RunStage
) -> dict[str, bool]:
    """Decide which integer and boolean columns are treated as having NULLs, and store the answers in the stage.

    Only columns whose pandas dtype depends on the answer are examined. For each column, the first known answer is used:

    1. the answer in the stage, if the run is resumed;
    2. the answer from the run in which the items failed, if ``only_failed`` is set and the stage has no answers;
    3. the counts of `Source.count_nulls`, for example from Parquet footers;
    4. a Spark job that looks for NULLs.

    Args:
        prepared: the checked request.
        source: the input.
        feeds: the model's inputs, each with its columns, or None if there is a script or no signature.
        stage: the run's stage.

    Returns:
        for each examined column, whether it is treated as having NULLs. Empty if no column was examined.

    Raises:
        SourceError: the input cannot be read.
        SinkError: the answers in the stage have been modified since they were written.
    """
    columns = source.columns()
    wanted = [] if columns is None else _columns_that_matter(prepared, feeds, columns)
    if not wanted:
        return {}
    former = {} if prepared.failed is None else dict(prepared.failed.nulls)
    kept = stage.kept(Decision.NULLS)
    found = _decided(source, wanted, dict(json.loads(kept)) if kept else former)
    stage.keep(Decision.NULLS, json.dumps(found).encode())
    _log(found)
    return found


def dtypes_of(prepared: PreparedRun, nulls: Mapping[str, bool]) -> Dtypes:
    """Return the rule by which workers choose the pandas dtypes of a mini-batch's columns.

    Args:
        prepared: the checked request.
        nulls: the result of `decide_nulls`.
    """
    config = prepared.deployment.input
    are_arrow = config.dtypes == "arrow" and prepared.script is not None
    return Dtypes(are_arrow, frozenset(name for name, has_null in nulls.items() if has_null), config.nulls == "nan")


def declared_not_null(prepared: PreparedRun) -> tuple[str, ...]:
    """Return the names of the columns that ``input.schema`` declares NOT NULL."""
    ddl = prepared.deployment.input.schema_ddl
    declared = StructType(StructType.fromDDL(ddl).fields) if ddl else StructType([])  # type: ignore[attr-defined]
    return tuple(field.name for field in declared if not field.nullable)


def _columns_that_matter(prepared: PreparedRun, feeds: tuple[Feed, ...] | None, columns: StructType) -> list[str]:
    """Return the names of the integer and boolean columns whose NumPy dtype depends on whether they contain NULLs.

    ONNX models, ``pyspark.ml`` models and scripts that get Arrow dtypes have no such columns. For other models, columns
    that the model does not get, or gets with a fixed dtype, are left out.
    """
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
    """Return whether the dtype of a model input depends on whether its column has NULLs.

    A tensor has a fixed dtype. A column that is cast to the type of the model input also has a fixed dtype, unless
    the model accepts NULLs in this column.
    """
    return feed.shape is None and (feed.type is None or feed.takes_null)


def _decided(source: Source, wanted: Sequence[str], known: Mapping[str, bool]) -> dict[str, bool]:
    found = {name: known[name] for name in wanted if name in known}
    if unknown := _without(wanted, found):
        found |= {name: count > 0 for name, count in source.count_nulls(unknown).items()}
    unknown = _without(wanted, found)
    if unknown and (rows := source.frame()) is not None:
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
