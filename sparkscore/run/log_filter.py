"""Make the log messages of this package safe to show. Runs on the driver."""

from __future__ import annotations

import logging

from sparkscore.printable import printable
from sparkscore.redaction import redact


def make_printable(record: logging.LogRecord) -> bool:
    """Mask secrets and escape control characters in a log message. Return True, so that the message is logged.

    This is a filter for loggers. A handler's formatter is not enough: if there is no handler, Python itself writes
    warnings to stderr.
    """
    record.msg, record.args = printable(redact(record.getMessage())), None
    return True
