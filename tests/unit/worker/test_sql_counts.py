from __future__ import annotations

from sparkscore.worker.sql_counts import Counts, CountsParam


def test_counts_of_tasks_are_added_for_each_group_and_function() -> None:
    param = CountsParam()
    total: Counts = param.zero({("g", "f"): (9, 9)})

    for counts in ({("g", "f"): (3, 1), ("g", "h"): (1, 0)}, {("g", "f"): (2, 2)}, {("", "f"): (7, 0)}):
        total = param.addInPlace(total, counts)

    assert total == {("g", "f"): (5, 3), ("g", "h"): (1, 0), ("", "f"): (7, 0)}
