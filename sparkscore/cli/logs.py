"""Show sparkscore's log on stderr, short: information as it is, warnings marked (driver)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sparkscore.cli.reply import to_stderr, warning_label
from sparkscore.redaction import redact


class _TerminalHandler(logging.Handler):
    """Writes each record as a line."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            mark = f"{warning_label()} " if record.levelno >= logging.WARNING else ""
            to_stderr(redact(record.getMessage()), label=mark)
        except Exception:  # noqa: BLE001 - as every handler of the standard library does
            self.handleError(record)


@contextmanager
def log_on_stderr() -> Iterator[None]:
    """Show the log of the `sparkscore` logger while the body runs."""
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
