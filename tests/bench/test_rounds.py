from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from tests.bench.cases import WORKLOADS, Case, Workload
from tests.bench.inputs import make_input
from tests.bench.process import SideError
from tests.bench.rounds import SideResult, Warm, carried_by, run_workload, take_turns

CASE = Case("case", "rows", "in", "in", "onnx", "model")
Run = Callable[[Path], dict[str, Any]]


def writes(ids: list[int], seconds: float = 1.0, calls: list[str] | None = None, name: str = "") -> Run:
    def run(output: Path) -> dict[str, Any]:
        if calls is not None:
            calls.append(name)
        output.mkdir(parents=True)
        pq.write_table(pa.table({"id": ids, "prediction": [0.5] * len(ids)}), output / "0.parquet")
        return {"seconds": seconds, "facts": {"rows": len(ids)}}

    return run


def turns(tmp_path: Path, runs: dict[str, Run], rounds: int = 2) -> dict[str, SideResult]:
    results = {name: SideResult() for name in runs}
    take_turns(runs, CASE, rounds, tmp_path, results)
    return results


def test_the_first_round_is_compared_and_does_not_count(tmp_path: Path) -> None:
    found = turns(tmp_path, {"limit": writes([1, 2]), "ours": writes([2, 1], 3.0)})

    assert found["ours"].check == "equal to the bit"
    assert found["ours"].seconds == [3.0, 3.0]
    assert found["ours"].facts == {"rows": 2}


def test_the_limit_begins_and_then_another_side_each_round(tmp_path: Path) -> None:
    calls: list[str] = []

    turns(tmp_path, {name: writes([1], calls=calls, name=name) for name in ("ours", "daft", "limit")})

    assert calls == ["limit", "ours", "daft", "ours", "daft", "limit", "daft", "limit", "ours"]


def test_rows_that_are_lost_in_a_later_round_are_found(tmp_path: Path) -> None:
    given = iter([writes([1, 2]), writes([1, 2]), writes([1])])

    def loses(output: Path) -> dict[str, Any]:
        return next(given)(output)

    found = turns(tmp_path, {"limit": writes([1, 2]), "ours": loses})

    assert (found["ours"].is_right, found["ours"].check) == (False, "1 rows instead of 2")


def test_of_a_side_that_scores_nothing_only_the_rows_are_counted(tmp_path: Path) -> None:
    def copies(output: Path) -> dict[str, Any]:
        output.mkdir(parents=True)
        pq.write_table(pa.table({"f00": [0.5] * 2}), output / "0.parquet")
        return {"seconds": 1.0, "facts": {}}

    right = turns(tmp_path / "right", {"limit": writes([1, 2]), "bare-spark": copies})["bare-spark"]
    wrong = turns(tmp_path / "wrong", {"limit": writes([1, 2, 3]), "bare-spark": copies})["bare-spark"]

    assert (right.is_right, right.check, right.seconds) == (True, "rows counted", [1.0, 1.0])
    assert (wrong.is_right, wrong.check) == (False, "2 rows instead of 3")


def test_a_side_that_fails_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    def fails(_: Path) -> dict[str, Any]:
        raise SideError("the process died")

    found = turns(tmp_path, {"limit": writes([1]), "ours": writes([1]), "ray": fails})

    assert found["ray"].error == "the process died"
    assert len(found["ours"].seconds) == 2


def test_a_side_that_writes_nothing_fails(tmp_path: Path) -> None:
    found = turns(tmp_path, {"limit": writes([1]), "ours": lambda _: {"seconds": 0.1, "facts": {}}})

    assert not found["ours"].is_right
    assert found["ours"].error


def test_a_side_whose_table_cannot_be_opened_fails_and_the_others_go_on(tmp_path: Path) -> None:
    def writes_delta(output: Path) -> dict[str, Any]:
        write_deltalake(output, pa.table({"id": [1], "prediction": [0.5]}))
        return {"seconds": 1.0, "facts": {}}

    results = {name: SideResult() for name in ("limit", "ours", "daft")}
    runs = {"limit": writes_delta, "ours": writes([1]), "daft": writes_delta}
    take_turns(runs, replace(CASE, output_format="delta"), 1, tmp_path, results)

    assert results["ours"].error
    assert results["daft"].seconds == [1.0]


def test_nothing_is_right_without_a_limit(tmp_path: Path) -> None:
    def fails(_: Path) -> dict[str, Any]:
        raise SideError("no model")

    found = turns(tmp_path, {"limit": fails, "ours": writes([1])})

    assert found["ours"].error == "nothing to compare with: the limit failed"


class FakeProcess:
    """Notes which inputs it gets."""

    pid = 1

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.sources: list[str] = []
        (folder / "loads").mkdir()

    def run(self, source: str, _: Path) -> dict[str, Any]:
        self.sources.append(source)
        return {"seconds": 1.0, "facts": {}}


@pytest.mark.parametrize(
    ("name", "awake_s", "sources"),
    [
        ("ours", -1, ["in", "small", "in", "small", "in"]),
        ("ours", 30, ["in", "in", "in"]),
        ("ray", -1, ["in", "in", "in"]),
    ],
)
def test_a_side_that_waited_is_woken_up_before_each_run_but_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, awake_s: int, sources: list[str]
) -> None:
    monkeypatch.setattr("tests.bench.rounds._AWAKE_S", awake_s)
    process: Any = FakeProcess(name, tmp_path)
    warm = Warm(process, replace(CASE, small="small"), is_watched=False)

    for number in range(3):
        warm.run(tmp_path / str(number))

    assert process.sources == sources


def test_results_do_not_fill_the_disk(tmp_path: Path) -> None:
    turns(tmp_path, {"limit": writes([1]), "ours": writes([1])})

    assert list(tmp_path.rglob("*.parquet")) == []


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda each: each.name)
def test_a_quick_workload_is_small_and_carries_the_same(workload: Any) -> None:
    assert workload.quick().size <= 1_000
    assert carried_by(workload.quick()) == carried_by(workload)


@pytest.mark.parametrize(("lost", "check"), [(0, "rows counted"), (3, "37 rows instead of 40")])
def test_several_sizes_are_measured_once_and_their_rows_counted(
    lost: int, check: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Process:
        pid = os.getpid()

        def __init__(self, *_: Any) -> None: ...

        def wait_until_ready(self) -> None: ...

        def run(self, source: str, output: Path) -> dict[str, Any]:
            rows = ds.dataset(source).count_rows()
            writes(list(range(rows - (lost if rows == 40 else 0))))(output)
            return {"seconds": rows / 10, "facts": {}}

        def stop(self) -> None: ...

    def case_of(workload: Workload, cache: Path) -> Case:
        return replace(CASE, source=str(make_input(cache, "narrow", workload.size)))

    monkeypatch.setattr("tests.bench.rounds.SideProcess", Process)
    monkeypatch.setattr("tests.bench.rounds.case_of", case_of)
    workload = Workload("w", "", "narrow", 20, "onnx", "mlp", ("limit",), kind="memory", factors=(1, 2))

    found = run_workload(workload, tmp_path / "cache", tmp_path, print)["limit"]

    assert (found.is_right, found.check) == (not lost, check)
    assert (found.seconds, found.facts["s_x1"], found.facts["s_x2"]) == ([2.0, 4.0], 2.0, 4.0)


def test_more_rows_than_are_worth_their_bytes_are_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.inputs.LINKED_ROWS", 100)

    made = make_input(tmp_path, "narrow", 300)

    assert ds.dataset(made).count_rows() == 300
    assert {file.stat().st_nlink for file in made.iterdir()} == {4}
