from __future__ import annotations

import pytest

from sparkscore.spark.causes import cause_in, host_in

IN_PYTHON = """An exception was thrown from the Python worker:
Traceback (most recent call last):
  File "/app/job.py", line 24, in score
    open(path)
{cause}
"""
IN_JAVA = """An error occurred while calling o182.getResult.
: org.apache.spark.SparkException: Exception thrown in awaitResult:
\tat org.apache.spark.util.SparkThreadUtils$.awaitResult(SparkThreadUtils.scala:70)
Caused by: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 3.0 failed 4 times, \
most recent failure: Lost task 0.3 in stage 3.0 (TID 7) (10.0.0.3 executor 1): java.io.IOException: lost
\tat java.base/java.lang.Thread.run(Thread.java:840)
Caused by: {cause}
\t... 22 more
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (IN_PYTHON.format(cause="ValueError: patient 4711 has blood group 0"), "ValueError"),
        (IN_PYTHON.format(cause="pyarrow.lib.ArrowInvalid"), None),
        (IN_PYTHON.format(cause="KeyError: 'name of a patient'"), "KeyError"),
        (
            IN_PYTHON.format(cause="FileNotFoundError: [Errno 2] No such file or directory: '/data/in.csv'"),
            "FileNotFoundError: [Errno 2] No such file or directory: '/data/in.csv'",
        ),
        (
            IN_PYTHON.format(cause="ModuleNotFoundError: No module named 'sparkscore'"),
            "ModuleNotFoundError: No module named 'sparkscore'",
        ),
        (IN_PYTHON.format(cause="OSError: [Errno 5] Input/output error"), "OSError: [Errno 5] Input/output error"),
        (
            IN_JAVA.format(cause="java.io.FileNotFoundException: File file:/data/a b.parquet does not exist"),
            "FileNotFoundException: File file:/data/a b.parquet does not exist",
        ),
        (
            IN_JAVA.format(cause="java.io.FileNotFoundException: /data/in.parquet (Permission denied)"),
            "FileNotFoundException: /data/in.parquet (Permission denied)",
        ),
        (
            IN_JAVA.format(cause='java.io.IOException: Cannot run program "/x/python": error=13, Permission denied'),
            'IOException: Cannot run program "/x/python": error=13, Permission denied',
        ),
        (IN_JAVA.format(cause="java.lang.NumberFormatException: For input string: 4711"), "NumberFormatException"),
        ("no cause", None),
    ],
)
def test_the_deepest_cause_is_shown_without_values_of_rows(text: str, shown: str | None) -> None:
    cause = cause_in(text)

    assert (None if cause is None else str(cause)) == shown


def test_the_host_of_the_last_failure_is_found() -> None:
    assert host_in(IN_JAVA.format(cause="java.io.EOFException")) == "10.0.0.3"
    assert host_in("nothing about a task") == ""
