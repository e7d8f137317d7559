"""Check the values that are known before scoring against the output table's constraints. Runs on the driver."""

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
    """Raise an error if the output table would reject a row because of values that are known before scoring.

    These are the values of the carried columns, the run id, and the model's name and version. The check may start a
    Spark job that reads the input. If failed items are tolerated, this function logs a warning instead of raising an
    error, because rows of failed items are not written to the table.

    Args:
        spark: the session.
        sink: the output.
        source: the input.
        result: the columns of the result.
        error_threshold: number of failed items that the run tolerates, or -1 for any number.

    Raises:
        SinkSchemaError: the table would reject a row, and no failed item is tolerated.
    """
    try:
        sink.check_rows(partial(_known_columns, spark, source, result), result.schema)
    except SinkSchemaError as error:
        if error_threshold == 0:
            raise
        logger.warning("%s. Unless these items fail, the run will not be published", error.sentence)


def _known_columns(spark: SparkSession, source: Source, result: ResultColumns) -> DataFrame:
    """Return a DataFrame with the result columns whose values are known before scoring.

    These are the carried columns, the run id, and the model's name and version. The DataFrame has one row for each
    input row, or a single row if the items are files.
    """
    # Called only if the table has rules for its rows. Most tables have none, and Spark then does not read the input.
    rows = source.frame()
    spec, lineage = result.spec, result.spec.lineage
    values = {"run_id": lineage.run_id, "model_name": lineage.model_name, "model_version": lineage.model_version}
    carried = [column(name).alias(spec.name_of_carried(name)) for name in spec.carried]
    constant = [lit(value).cast("string").alias(spec.name_of_added(name)) for name, value in values.items()]
    return (spark.range(1) if rows is None else rows).select(*carried, *constant)
