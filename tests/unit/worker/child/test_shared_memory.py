from __future__ import annotations

import os
from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparkscore.worker.child import shared_memory
from sparkscore.worker.child.shared_memory import LARGEST, SharedMemory


@pytest.fixture
def worker() -> Iterator[SharedMemory]:
    memory = SharedMemory.create()
    assert memory is not None
    yield memory
    memory.close()


@pytest.fixture
def child(worker: SharedMemory) -> Iterator[SharedMemory]:
    memory = SharedMemory.received([os.dup(worker.descriptor)])
    assert memory is not None
    yield memory
    memory.close()


def read(memory: SharedMemory, size: int | None) -> pa.Table:
    assert size is not None
    return pa.ipc.open_stream(memory.get(size)).read_all()


TEXTS = st.lists(st.none() | st.text(max_size=40), max_size=50)
NUMBERS = st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=50)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(chunks=st.lists(st.tuples(TEXTS, NUMBERS), min_size=1, max_size=3), first=st.integers(0, 10))
def test_rows_come_as_they_were_put(
    chunks: list[tuple[list[str | None], list[int | None]]], first: int, worker: SharedMemory, child: SharedMemory
) -> None:
    pairs = [list(zip(texts, numbers, strict=False)) for texts, numbers in chunks]
    rows = pa.table(
        {
            "text": pa.chunked_array([[text for text, _ in pair] for pair in pairs], pa.string()),
            "number": pa.chunked_array([[number for _, number in pair] for pair in pairs], pa.int64()),
            "both": pa.chunked_array([[[text] for text, _ in pair] for pair in pairs], pa.list_(pa.string())),
        }
    ).slice(first)

    found = read(child, worker.put(rows))

    assert found.equals(rows)
    assert found.schema.equals(rows.schema)


def test_rows_that_were_read_stay_as_they_are(worker: SharedMemory, child: SharedMemory) -> None:
    first = read(child, worker.put(pa.table({"x": range(1000)})))

    read(child, worker.put(pa.table({"x": [7] * 1000})))

    assert first.column("x").to_pylist() == list(range(1000))


def test_of_a_slice_only_its_own_rows_are_put(worker: SharedMemory) -> None:
    size = worker.put(pa.table({"x": range(1_000_000)}).slice(10, 3))

    assert size is not None
    assert size < 10_000


@pytest.mark.parametrize("rows", [pa.table({"x": pa.nulls(LARGEST // 8 + 1, pa.int64())}), pa.table({})])
def test_rows_that_do_not_fit_are_not_put(rows: pa.Table, worker: SharedMemory) -> None:
    assert worker.put(rows) is None
    assert worker.put(pa.table({"x": [1]})) is not None


def test_rows_whose_stream_is_larger_than_was_expected_are_not_put(
    worker: SharedMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_memory, "_STEP", 64)
    monkeypatch.setattr(shared_memory, "_OVERHEAD_OF_A_COLUMN", 0)

    assert worker.put(pa.table({f"x{number}": [1] for number in range(100)})) is None


def test_rows_for_which_the_system_has_no_memory_are_not_put(
    worker: SharedMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)

    assert worker.put(pa.table({"x": [1]})) is None


def test_only_memory_that_is_used_is_taken(worker: SharedMemory) -> None:
    worker.put(pa.table({"x": [1]}))

    assert os.fstat(worker.descriptor).st_blocks * 512 <= 1024 * 1024


def test_the_memory_cannot_be_shortened(worker: SharedMemory) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(worker.descriptor, 0)


@pytest.mark.parametrize("size", [-1, LARGEST + 1])
def test_more_than_there_is_is_not_read(size: int, child: SharedMemory) -> None:
    with pytest.raises(ValueError, match=r"negative|different structures|size"):
        child.get(size)


def test_what_is_no_memory_is_not_received() -> None:
    read_end, write_end = os.pipe()
    os.close(write_end)

    assert SharedMemory.received([read_end]) is None
    assert SharedMemory.received([]) is None


def test_where_no_file_can_be_in_memory_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")

    assert SharedMemory.create() is None
