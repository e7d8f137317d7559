"""The mini-batch that the probe gets of rows: one with several, where the input and the size allow it."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from sparkscore.minibatch import MiniBatchLimit
from sparkscore.spark import jobs as driver


def rows_of(*batches: list[str]) -> Any:
    """Stand in for Spark's rows, in the record batches that its partitions give."""
    found = pa.Table.from_batches(
        [pa.RecordBatch.from_pydict({"text": batch}, pa.schema([("text", pa.string())])) for batch in batches],
        pa.schema([("text", pa.string())]),
    )
    return SimpleNamespace(
        sparkSession=None, limit=lambda count: SimpleNamespace(toArrow=lambda: found.slice(0, count))
    )


@pytest.mark.parametrize(
    ("batches", "limit", "texts"),
    [
        ([["a"], ["b", "c"]], MiniBatchLimit(10, None), ["a", "b", "c"]),
        ([["a"], [], ["b"]], MiniBatchLimit(2, None), ["a", "b"]),
        ([["x" * 500, "b", "c"]], MiniBatchLimit(None, 100), ["b", "c"]),
        ([["a", "b"]], MiniBatchLimit(1, None), ["a"]),
        ([["a"]], MiniBatchLimit(10, None), ["a"]),
    ],
)
def test_a_mini_batch_with_several_rows_comes_first(
    batches: list[list[str]], limit: MiniBatchLimit, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "pinned_settings", lambda _: nullcontext())

    found, *_ = driver.first_mini_batches(SimpleNamespace(), rows_of(*batches), limit)  # type: ignore[arg-type]

    assert found.rows is not None
    assert found.rows["text"].to_pylist() == texts


def test_of_no_rows_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "pinned_settings", lambda _: nullcontext())

    assert driver.first_mini_batches(SimpleNamespace(), rows_of(), MiniBatchLimit(10, None)) == []  # type: ignore[arg-type]


def test_the_others_follow_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "pinned_settings", lambda _: nullcontext())
    rows = rows_of([*"abcde"])

    found = driver.first_mini_batches(SimpleNamespace(), rows, MiniBatchLimit(2, None))  # type: ignore[arg-type]

    assert [each.rows["text"].to_pylist() for each in found if each.rows] == [["a", "b"], ["c", "d"], ["e"]]
