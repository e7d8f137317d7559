"""Keep PySpark from printing the exceptions that it raises. Runs on the driver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pyspark.logger import PySparkLogger

# Source: `_log_exception` in pyspark/errors/exceptions/base.py prints on stderr, with values and Java's stack trace.
_LOGGERS: Final = ("SQLQueryContextLogger", "DataFrameQueryContextLogger")


@contextmanager
def without_printed_errors() -> Iterator[None]:
    """Keep PySpark from printing exceptions on stderr during the ``with`` block. They are raised as always."""
    loggers = [PySparkLogger.getLogger(name) for name in _LOGGERS]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, was_disabled in zip(loggers, before, strict=True):
            logger.disabled = was_disabled
