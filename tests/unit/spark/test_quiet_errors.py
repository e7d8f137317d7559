from __future__ import annotations

import io
import logging

import pytest
from pyspark.logger import PySparkLogger

from sparkscore.spark.quiet_errors import without_printed_errors


@pytest.mark.parametrize("name", ["SQLQueryContextLogger", "DataFrameQueryContextLogger"])
def test_pyspark_prints_no_exceptions_in_the_block_and_does_after_it(name: str) -> None:
    printed = io.StringIO()
    handler = logging.StreamHandler(printed)
    logger = PySparkLogger.getLogger(name)
    logger.addHandler(handler)
    try:
        with without_printed_errors():
            logger.error("inside")
        logger.error("after")
    finally:
        logger.removeHandler(handler)

    assert "inside" not in printed.getvalue()
    assert "after" in printed.getvalue()


def test_an_error_ends_the_silence_too() -> None:
    with pytest.raises(ValueError, match="x"), without_printed_errors():
        raise ValueError("x")

    assert not PySparkLogger.getLogger("SQLQueryContextLogger").disabled
