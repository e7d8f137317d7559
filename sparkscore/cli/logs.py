"""Print sparkscore's log messages to stderr, with warnings marked. Runs on the driver."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sparkscore.cli.reply import to_stderr, warning_label
from sparkscore.redaction import redact


class _TerminalHandler(logging.Handler):
    """A logging handler that prints only the message of each record to stderr, with a label for warnings and errors."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            mark = f"{warning_label()} " if record.levelno >= logging.WARNING else ""
            to_stderr(redact(record.getMessage()), label=mark)
        except Exception:  # noqa: BLE001 - like the handlers of the standard library
            self.handleError(record)


@contextmanager
def log_on_stderr() -> Iterator[None]:
    """Print messages of the `sparkscore` logger, from INFO upwards, to stderr during the ``with`` block."""
    logger = logging.getLogger("sparkscore")
    handler = _TerminalHandler(logging.INFO)
    level, propagates = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates
