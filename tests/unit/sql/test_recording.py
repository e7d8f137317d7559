from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ScoringError
from sparkscore.record.queries import FunctionUse, list_queries
from sparkscore.sql.recording import recorded_statement

COUNTER: Any = SimpleNamespace(counts=lambda name, group: (7, len(name)) if group == "g" else (0, 0))


@pytest.mark.parametrize(
    ("counter", "use"),
    [(COUNTER, FunctionUse("f", rows=7, failed=1)), (None, FunctionUse("f", rows=None, failed=None))],
)
def test_a_statement_is_recorded_with_its_functions(
    make: Callable[..., Any], tmp_path: Path, counter: Any, use: FunctionUse
) -> None:
    with recorded_statement(tmp_path, "shell", [make()], counter, "g") as note:
        note.rows = 3

    (record,) = list_queries(tmp_path)
    assert (record.state, record.by, record.rows, record.error) == ("COMPLETE", "shell", 3, None)
    assert record.functions == (use,)
    assert record.query_id.startswith("query-")
    assert record.started_at.endswith("Z")
    assert 0 <= record.seconds < 60


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (ScoringError(code=ErrorCode.SPARK_JOB, what="x", next_step="y"), "FAIL", "SPARK_JOB"),
        (ValueError("secret"), "FAIL", "ValueError"),
        (KeyboardInterrupt(), "ABORT", "INTERRUPTED"),
        (SystemExit(130), "ABORT", "INTERRUPTED"),
    ],
)
def test_a_statement_that_fails_is_recorded_without_its_text(
    tmp_path: Path, error: BaseException, state: str, code: str
) -> None:
    with pytest.raises(type(error)), recorded_statement(tmp_path, "shell", [], None):
        raise error

    (record,) = list_queries(tmp_path)
    assert (record.state, record.error, record.rows) == (state, code, None)
    assert "secret" not in (tmp_path / "queries.jsonl").read_text()


def test_what_a_cancelled_query_raises_is_an_interrupt(tmp_path: Path) -> None:
    def cancelled() -> None:
        try:
            raise SystemExit(130)
        finally:
            raise ValueError("cancelled")

    with pytest.raises(ValueError, match="cancelled"), recorded_statement(tmp_path, "shell", [], None):
        cancelled()

    assert list_queries(tmp_path)[0].state == "ABORT"
