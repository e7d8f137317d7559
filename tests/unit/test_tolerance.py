from __future__ import annotations

import pytest

from sparkscore.tolerance import Tolerance


@pytest.mark.parametrize(
    ("tolerance", "items", "mini_batches", "is_passed"),
    [
        (Tolerance(), 0, 0, False),
        (Tolerance(), 1, 1, True),
        (Tolerance(-1), 10**9, 10**6, False),
        (Tolerance(-1, 2), 900, 3, True),
        (Tolerance(1, counts_files=True), 900, 1, False),
        (Tolerance(1, counts_files=True), 2, 2, True),
        (Tolerance(-1, -1, 0.0), 5, 5, False),
    ],
)
def test_a_number_that_is_passed_ends_a_run_at_any_time(
    tolerance: Tolerance, items: int, mini_batches: int, *, is_passed: bool
) -> None:
    assert tolerance.is_passed(items, mini_batches) is is_passed


def test_the_verdict_refuses_whatever_stopped_a_run() -> None:
    for tolerance in (Tolerance(), Tolerance(-1, 0), Tolerance(1, counts_files=True)):
        assert tolerance.is_passed(5, 3)
        assert tolerance.passed(5, 3, 10)


def test_a_share_is_judged_at_the_end() -> None:
    assert Tolerance(-1, -1, 50).passed(5, 5, 10) == ""
    assert Tolerance(-1, -1, 49.9).passed(5, 5, 10).startswith("50 % of 10 mini-batches")
