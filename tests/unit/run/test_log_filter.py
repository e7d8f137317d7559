from __future__ import annotations

import logging

import pytest

import sparkscore.run
from sparkscore.run.log_filter import make_printable


def test_a_message_is_made_safe_with_its_arguments() -> None:
    record = logging.LogRecord(
        "sparkscore", logging.INFO, __file__, 1, "left %s: pwd=%s", ("a\x1b[31m", "hunter22"), None
    )

    assert make_printable(record)
    assert record.getMessage() == "left a\\x1b[31m: pwd=***"


def test_it_applies_as_soon_as_the_package_is_imported(caplog: pytest.LogCaptureFixture) -> None:
    assert sparkscore.run is not None

    logging.getLogger("sparkscore").warning("a\nb")

    assert caplog.messages == ["a\\nb"]
