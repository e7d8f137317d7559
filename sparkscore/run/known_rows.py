"""Compare what is known of the result's rows before scoring with the rules of the output's table (driver)."""

from __future__ import annotations

import logging
from functools import partial

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import lit

from sparkscore.errors import SinkSchemaError
from sparkscore.run.columns import ResultColumns
from sparkscore.sinks import Sink
from sparkscore.sources import Source
from sparkscore.spark.schema import column

logger = logging.getLogger("sparkscore")


def check_known_rows(
    spark: SparkSession, sink: Sink, source: Source, result: ResultColumns, error_threshold: int
) -> None:
    """Refuse carried columns, or a model's name, that the table would not take; starts a job where it has rules.

    Where failed items are tolerated the item may fail, and then it is not in the result: that is a warning.

    Args:
        spark: the session.
        sink: the output.
        source: the input.
        result: the result's columns.
        error_threshold: how many failed items the run tolerates.

    Raises:
        SinkSchemaError: no item may fail, and one's row would be refused.
    """
    try:
        sink.check_rows(partial(_known_columns, spark, source.frame(), result), result.schema)
    except SinkSchemaError as error:
        if error_threshold == 0:
            raise
        logger.warning("%s. Unless these items fail, the run will not be published", error.sentence)


def _known_columns(spark: SparkSession, rows: DataFrame | None, result: ResultColumns) -> DataFrame:
    """Give the columns whose values do not come from scoring."""
    spec, lineage = result.spec, result.spec.lineage
    values = {"run_id": lineage.run_id, "model_name": lineage.model_name, "model_version": lineage.model_version}
    carried = [column(name).alias(spec.name_of_carried(name)) for name in spec.carried]
    constant = [lit(value).cast("string").alias(spec.name_of_added(name)) for name, value in values.items()]
    return (spark.range(1) if rows is None else rows).select(*carried, *constant)
