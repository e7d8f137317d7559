"""Read staged rows with Spark, including the partition values in the names of their folders. Runs on the driver."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from sparkscore.location import spark_path
from sparkscore.sinks.target import StagedResult
from sparkscore.spark.settings import read_from
from sparkscore.stage import StagedFile
from sparkscore.stage.layout import task_attempt_of, within_task_attempt
from sparkscore.stage.writer import NULL_PARTITION, unescape_path


def read_files(spark: SparkSession, staged: StagedResult, schema: StructType) -> DataFrame:
    """Return the rows of the staged files as a DataFrame.

    Values of partition columns are read from folder names, with the types of the schema. These folders are inside the
    task attempts' folders, so each task attempt's files are read separately.

    Args:
        spark: the session.
        staged: the staged rows.
        schema: the columns in the files and in the names of their folders.
    """
    rows = spark.createDataFrame([], schema)
    for task_attempt, files in groupby(staged.files, key=lambda file: task_attempt_of(file.path)):
        base = {"basePath": spark_path(staged.folder / task_attempt)}
        paths = [spark_path(staged.folder / file.path) for file in files]
        rows = rows.unionByName(read_from(spark, "parquet", base).schema(schema).load(paths))
    return rows


def partition_values(file: str) -> dict[str, str | None]:
    """Return the partition columns in the path of a staged file, with their values as texts, in path order.

    >>> partition_values("attempts/00000-0a/day=2026-01-02/shop=a%2Fb/part-1.parquet")
    {'day': '2026-01-02', 'shop': 'a/b'}
    """
    folders = [folder.partition("=") for folder in within_task_attempt(file).split("/")[:-1]]
    return {unescape_path(name): None if text == NULL_PARTITION else unescape_path(text) for name, _, text in folders}


def is_laid_out(files: Sequence[StagedFile], partition_by: tuple[str, ...]) -> bool:
    """Return whether each file is in folders for exactly these partition columns, in this order."""
    return all(tuple(partition_values(file.path)) == partition_by for file in files)
