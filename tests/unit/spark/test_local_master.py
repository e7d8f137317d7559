from __future__ import annotations

import pytest

from sparkscore.spark.local_master import is_local, local_slots


@pytest.mark.parametrize(
    ("master", "slots"),
    [
        ("local", 1),
        ("local[3]", 3),
        ("local[3,4]", 3),
        ("local[*]", 6),
        ("local[*,4]", 6),
        ("local-cluster[2,1,1024]", None),
        ("spark://localhost:7077", None),
        ("", None),
    ],
)
def test_a_local_master_says_how_many_tasks_run(
    monkeypatch: pytest.MonkeyPatch, master: str, slots: int | None
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 6)

    assert local_slots(master) == slots
    assert is_local(master) == (slots is not None)
