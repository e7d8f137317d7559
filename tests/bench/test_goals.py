from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from tests.bench.cases import MIDDLE, QUICK, WORKLOADS, Workload
from tests.bench.goals import GOALS, Goal, difference, fact, findings, growth, ratio, ratio_of, seconds_of
from tests.bench.registry import ROOT, SIDES


def side(*seconds: float, is_right: bool = True, error: str = "", **facts: float) -> dict[str, Any]:
    return {"seconds": list(seconds), "is_right": is_right, "check": "as it is", "error": error, "facts": facts}


def results(**workloads: dict[str, Any]) -> dict[str, Any]:
    return {"workloads": {name: {"sides": sides} for name, sides in workloads.items()}}


def test_a_ratio_is_the_median_of_the_ratios_of_a_round() -> None:
    # The second round was slow for both, which changes no ratio; the median of the seconds would.
    measured = results(w={"a": side(2.0, 30.0, 4.0), "b": side(1.0, 10.0, 1.0)})

    assert ratio_of(measured, "w", "a", "b") == 3.0
    assert seconds_of(measured, "w", "a") == 4.0


def test_the_faster_of_several_sides_is_the_measure() -> None:
    measured = results(w={"ours": side(3.0), "limit": side(2.0), "sail": side(1.0)})

    assert ratio("w", "ours", "limit", "sail")(measured) == 3.0


@pytest.mark.parametrize(
    "other", [side(1.0, is_right=False), side(error="died"), side()], ids=["wrong", "failed", "none"]
)
def test_nothing_is_measured_against_a_side_without_a_right_result(other: dict[str, Any]) -> None:
    measured = results(w={"ours": side(3.0), "limit": side(2.0), "sail": other})

    assert ratio("w", "ours", "limit", "sail")(measured) is None
    assert difference("w", "ours", "sail")(measured) is None
    assert ratio("not there", "ours", "limit")(measured) is None


def test_differences_growth_and_facts_are_measured() -> None:
    measured = results(s={"a": side(1.0, peak=20.0, base=10.0), "b": side(0.25)}, w={"a": side(9.0)})

    assert difference("s", "a", "b")(measured) == 0.75
    assert growth("w", "s", "a")(measured) == 9.0
    assert fact("s", "a", "peak")(measured) == 20.0
    assert fact("s", "a", "peak", "base")(measured) == 2.0
    assert fact("s", "b", "peak")(measured) is None


@pytest.mark.parametrize(("is_upper", "reached"), [(True, [True, True, False]), (False, [False, True, True])])
def test_a_goal_is_reached_at_its_bound(is_upper: bool, reached: list[bool]) -> None:  # noqa: FBT001 - a case
    goal = Goal("some figure", 2.0, is_upper, lambda _: None)

    assert [goal.is_reached(value) for value in (1.9, 2.0, 2.1)] == reached


def test_each_failure_and_each_wrong_result_is_a_finding() -> None:
    measured = results(w={"a": side(1.0), "b": side(1.0, is_right=False), "c": side(error="died")})

    assert list(findings(measured)) == ["w: b is wrong: as it is", "w: c failed: died"]


def test_each_goal_finds_its_figure_in_a_whole_run() -> None:
    facts: dict[str, Any] = {
        "loads": 2,
        "processes": 2,
        "plan_s": 1,
        "driver_mib": 1,
        "worker_mib_x1000": 1,
        "worker_mib_x10": 1,
        "worker_mib_x100": 1,
        "s_x100": 1,
        "s_x1000": 1,
    }
    whole = results(**{each.name: {name: side(1.0, **facts) for name in each.sides} for each in WORKLOADS})

    assert [goal.text for goal in GOALS if goal.measure(whole) is None] == []


def test_each_workload_has_a_limit_and_known_sides() -> None:
    assert [each.name for each in WORKLOADS if "limit" not in each.sides or not set(each.sides) <= set(SIDES)] == []


def test_rows_of_each_size_and_kind_are_scored_with_each_model_into_each_format() -> None:
    tables = {(each.layout, each.size, each.engine, each.model, each.output_format) for each in WORKLOADS}
    models = (("onnx", "mlp"), ("xgboost", "boosting"), ("onnx", "boosting"))
    expected = product(("narrow", "mixed"), (2_000_000, 20_000_000), models, ("parquet", "delta"))

    assert {(layout, size, *model, output_format) for layout, size, model, output_format in expected} <= tables
    assert len({each.name for each in WORKLOADS}) == len(WORKLOADS)


def test_the_middle_form_has_all_workloads_and_is_smaller() -> None:
    workloads = {each.name: each for each in WORKLOADS}
    middle = [workloads[name].middle() for name in MIDDLE]

    assert set(MIDDLE) == set(workloads)

    assert [each.name for each in middle if not set(each.sides) <= set(workloads[each.name].sides)] == []
    assert [each.name for each in middle if each.rounds > workloads[each.name].rounds] == []
    # A single run says little; only memory, which hardly differs between runs, is measured in one.
    assert [each.name for each in middle if each.rounds < 2] == ["memory"]


def test_the_middle_form_measures_each_goal() -> None:
    workloads, factors = [each.middle() for each in WORKLOADS], (1, 10, 100, 1_000)
    facts: dict[str, Any] = dict.fromkeys(
        (
            "loads",
            "processes",
            "plan_s",
            "driver_mib",
            *(f"{key}_x{each}" for key in ("s", "worker_mib") for each in factors),
        ),
        1,
    )
    whole = results(**{each.name: {name: side(1.0, **facts) for name in each.sides} for each in workloads})

    assert {factor for each in workloads for factor in each.factors} == set(factors)
    assert [goal.text for goal in GOALS if goal.measure(whole) is None] == []


def kind_of(workload: Workload) -> tuple[object, ...]:
    engine = workload.engine, workload.model, workload.script
    return workload.kind, workload.layout, workload.files, *engine, workload.output_format


def test_a_quick_benchmark_runs_each_kind_of_workload_and_each_side() -> None:
    workloads = {each.name: each for each in WORKLOADS}

    # Of workloads that differ only in their number of rows, one is enough.
    assert {kind_of(workloads[name]) for name in QUICK} == {kind_of(each) for each in WORKLOADS}
    assert [name for name, sides in QUICK.items() if not set(sides) <= set(workloads[name].sides)] == []
    assert {side for sides in QUICK.values() for side in sides} == set(SIDES)
    # Sessions stay, and Delta cannot be added to one.
    assert workloads[next(iter(QUICK))].output_format == "delta"


def test_each_profile_is_a_decision() -> None:
    pages = [list((ROOT / "docs" / "decisions").glob(f"{goal.profile:04}-*.md")) for goal in GOALS if goal.profile]

    assert {len(found) for found in pages} == {1}


def test_each_goal_that_may_be_missed_says_why() -> None:
    # Loads are counted, rows cost less than linearly, and 100,000 files are far from their bounds.
    sure = {
        "64 partitions: model loads over processes",
        "10 times the rows, MLP: cost",
        "100 times the rows, MLP, which are 200 M: cost over that of 20 M",
    }
    assert [goal.text for goal in GOALS if not goal.profile] == [goal.text for goal in GOALS if goal.text in sure]
    assert [goal.text for goal in GOALS if goal.profile and not goal.why and "100,000 files" not in goal.text] == []
