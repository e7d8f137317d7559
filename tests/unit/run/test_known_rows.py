from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkSchemaError
from sparkscore.run.known_rows import check_known_rows

RESULT: Any = SimpleNamespace(schema="columns")
SOURCE: Any = SimpleNamespace(frame=lambda: None)


class Table:
    """A table with rules, or without."""

    def __init__(self, *, refuses: bool) -> None:
        self._refuses = refuses

    def check_rows(self, rows: Callable[[], object], schema: object) -> None:
        assert callable(rows)
        assert schema == "columns"
        if self._refuses:
            raise SinkSchemaError(code=ErrorCode.USAGE, what="rows break a rule", next_step="Correct them.")


def check(error_threshold: int, *, refuses: bool) -> None:
    sink: Any = Table(refuses=refuses)
    spark: Any = None
    check_known_rows(spark, sink, SOURCE, RESULT, error_threshold)


@pytest.mark.parametrize("error_threshold", [0, 1, -1])
def test_rows_that_keep_the_rules_pass(error_threshold: int) -> None:
    check(error_threshold, refuses=False)


def test_the_input_is_opened_only_for_a_table_with_rules() -> None:
    asked: list[str] = []
    source: Any = SimpleNamespace(frame=lambda: asked.append("frame"))
    spark: Any = None
    table: Any = Table(refuses=False)

    check_known_rows(spark, table, source, RESULT, 0)

    assert asked == []


def test_rows_that_break_a_rule_are_refused_where_no_item_may_fail() -> None:
    with pytest.raises(SinkSchemaError, match="rows break a rule"):
        check(0, refuses=True)


@pytest.mark.parametrize("error_threshold", [1, -1])
def test_where_items_may_fail_rows_that_break_a_rule_are_a_warning(
    caplog: pytest.LogCaptureFixture, error_threshold: int
) -> None:
    with caplog.at_level(logging.WARNING, "sparkscore"):
        check(error_threshold, refuses=True)

    assert "rows break a rule" in caplog.text
    assert "the run will not be published" in caplog.text
