from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.errors import PySparkException

from sparkscore.spark.errors import explain_read_error, explain_spark_error, reason_of
from sparkscore.stage.layout import MARKER

LOST = (
    "Job aborted: Lost task 0.3 in stage 0.0 (TID 3) (10.0.0.3 executor 0): org.apache.spark.SparkException: failed\n"
)
TRACEBACK = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    f()\n'

NOT_STARTED = 'java.io.IOException: Cannot run program "/x/py": error=13, Permission denied'
OTHER_PYTHON = (
    "pyspark.errors.exceptions.base.PySparkRuntimeError: [PYTHON_VERSION_MISMATCH] Python in worker has different "
    "version: 3.12 than that in driver: 3.11, PySpark cannot run with different minor versions."
)
UNREAD = "Encountered error while reading file file:"
NOT_THERE = f"[FAILED_READ_FILE.FILE_NOT_EXIST] {UNREAD}//{{path}}. File does not exist."
NO_FOOTER = (
    f"[FAILED_READ_FILE.CANNOT_READ_FILE_FOOTER] {UNREAD}{{path}}. Could not read footer.\n"
    "Caused by: java.io.FileNotFoundException: File file:{path} does not exist\n\t... 1 more"
)
REFUSED = (
    f"[FAILED_READ_FILE.NO_HINT] {UNREAD}{{path}}.\n"
    "Caused by: java.io.FileNotFoundException: {path} (Permission denied)\n\t... 1 more"
)


def failed(cause: str, *, in_java: bool = False) -> PySparkException:
    return PySparkException(LOST + (f"Caused by: {cause}\n\tat a.B" if in_java else f"{TRACEBACK}{cause}\n\n\tat a.B"))


def missing(path: Path) -> PySparkException:
    return failed(f"FileNotFoundError: [Errno 2] No such file or directory: '{path}'")


def test_a_file_that_only_the_driver_sees_is_hidden_from_the_worker(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id\n1\n")

    error = explain_spark_error(missing(tmp_path / "in.csv"))

    assert error.code == "INPUT_NOT_SEEN"
    assert "worker '10.0.0.3' does not see the input" in error.what


def test_a_file_that_nobody_sees_is_only_named(tmp_path: Path) -> None:
    error = explain_spark_error(missing(tmp_path / "in.csv"))

    assert error.code == "SPARK_JOB"
    assert error.got == f"FileNotFoundError: [Errno 2] No such file or directory: '{tmp_path / 'in.csv'}'"


@pytest.mark.parametrize(
    ("cause", "code"),
    [("FileNotFoundError: [Errno 2] No such file or directory", "STAGE_NOT_SEEN"),
     ("PermissionError: [Errno 13] Permission denied", "STAGE_NOT_WRITABLE")],
)  # fmt: skip
def test_a_file_of_the_stage_shows_that_the_stage_is_hidden(tmp_path: Path, cause: str, code: str) -> None:
    (tmp_path / MARKER).touch()

    error = explain_spark_error(failed(f"{cause}: '{tmp_path}/attempts/00000-ab/part.parquet'"))

    assert error.code == code
    assert f"'{tmp_path}'" in error.what


@pytest.mark.parametrize("text", [NOT_THERE, NO_FOOTER, REFUSED])
@pytest.mark.parametrize("is_seen", [True, False])
def test_rows_of_a_file_that_is_hidden_need_no_repair(tmp_path: Path, text: str, *, is_seen: bool) -> None:
    path = tmp_path / "in.v2.parquet"
    if is_seen:
        path.write_text("PAR1")

    errors = [
        explain(PySparkException(text.format(path=path))) for explain in (explain_read_error, explain_spark_error)
    ]

    assert {error.code for error in errors} == {"INPUT_NOT_SEEN" if is_seen else "INPUT_UNREADABLE"}
    assert all(str(path) in error.what for error in errors)
    assert ["Repair" in error.next_step for error in errors] == [not is_seen] * 2


@pytest.mark.parametrize(
    ("cause", "in_java", "code", "words"),
    [
        (NOT_STARTED, True, "WORKER_PYTHON", "'/x/py'"),
        (OTHER_PYTHON, False, "WORKER_PYTHON", "Python 3.12"),
        ("ModuleNotFoundError: No module named 'sparkscore'", False, "PACKAGE_MISSING", "'sparkscore'"),
        ("ModuleNotFoundError: No module named 'pyarrow'", False, "PACKAGE_MISSING", "'pyarrow'"),
        (
            "AttributeError: Can't get attribute 'HostCheck' on <module 'sparkscore.worker.host' from '/x/host.py'>",
            False,
            "PACKAGE_MISSING",
            "another version",
        ),
    ],
)
def test_what_is_wrong_with_a_workers_python_is_named(cause: str, code: str, words: str, *, in_java: bool) -> None:
    error = explain_spark_error(failed(cause, in_java=in_java))

    assert error.code == code
    assert "10.0.0.3" in error.what
    assert words in error.sentence
    assert "PYSPARK_PYTHON" in error.next_step


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"[PYTHON_EXCEPTION] x\n{TRACEBACK}ValueError: patient 4711", "ValueError"),
        ("[DIVIDE_BY_ZERO] x", "DIVIDE_BY_ZERO"),
        ("[DIVIDE_BY_ZERO] x\nCaused by: java.lang.ArithmeticException: patient 4711\n", "DIVIDE_BY_ZERO"),
        ("nothing is known", "PySparkException"),
    ],
)
def test_the_reason_is_the_condition_or_the_deepest_cause(text: str, reason: str) -> None:
    assert reason_of(PySparkException(text)) == reason
