from __future__ import annotations

import pytest
from pyspark.errors import PySparkException

from sparkscore.minibatch import file_split
from sparkscore.spark.errors import explain_read_error, explain_spark_error
from sparkscore.worker.task_error import text_of


def test_a_file_that_spark_split_is_named_as_the_task_named_it() -> None:
    told = file_split("Spark split the file 'file:/a: got b.csv', which the model must get", "a part that begins at 7")
    task = f"sparkscore.worker.task_error.TaskError: {text_of(told)}"
    text = f"An exception was thrown from the Python worker:\nTraceback\n{task}\nat org.apache.spark"

    error = explain_spark_error(PySparkException(text))

    assert error.code == "FILE_SPLIT"
    assert "'file:/a" in error.what
    assert error.got.endswith("a part that begins at 7")
    assert error.next_step == told.next_step


@pytest.mark.parametrize(("what", "advice"), [("Delta", "VACUUM"), ("parquet", "Repair")])
def test_a_missing_file_of_a_delta_table_was_removed_by_vacuum(what: str, advice: str) -> None:
    text = "[FAILED_READ_FILE.FILE_NOT_EXIST] Encountered error while reading file file:///t/part-0.parquet. File does"

    error = explain_read_error(PySparkException(text), what)

    assert error.code == "INPUT_UNREADABLE"
    assert "/t/part-0.parquet" in error.what
    assert error.next_step.startswith(advice)


def test_an_encoding_that_spark_cannot_decode_is_named() -> None:
    text = (
        "[FAILED_READ_FILE.NO_HINT] Encountered error while reading file file:///t/a.parquet. \n\tat org.apache.spark\n"
        "Caused by: org.apache.spark.SparkUnsupportedOperationException: Unsupported encoding: BYTE_STREAM_SPLIT\n\tat"
    )

    error = explain_spark_error(PySparkException(text))

    assert str(error).startswith(
        "[INPUT_UNREADABLE] Spark cannot read the input file '/t/a.parquet': got values with the encoding "
        "BYTE_STREAM_SPLIT, expected "
    )
    assert "input.reader: worker" in error.next_step
