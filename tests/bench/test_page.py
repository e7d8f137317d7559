from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.bench.page import groups_of, merged, page_of, write_pages
from tests.bench.plot import Bar, Group, draw
from tests.bench.registry import SIDES

DOCS = Path(__file__).parents[2] / "docs"


def side(*seconds: float, **changed: Any) -> dict[str, Any]:
    whole = {"seconds": list(seconds), "is_right": True, "check": "equal to the bit", "error": "", "facts": {}}
    return {**whole, **changed}


@pytest.fixture
def results() -> dict[str, Any]:
    sides = {
        "limit": side(1.0, 1.0),
        "ours": side(3.0, 3.0, facts={"loads": 2}),
        "daft": side(2.0, 2.0),
        "sail": side(0.1, 0.1, is_right=False, check="98 rows instead of 100"),
        "ray": side(error="the | process\ndied"),
    }
    workload = {
        "title": "100 rows",
        "size": 100,
        "kind": "warm",
        "rounds": 2,
        "output_format": "parquet",
        "is_whole": True,
        "sides": sides,
    }
    machine = {
        "processor": "a <fast> one",
        "cores": 2,
        "memory_gib": 23,
        "system": "Linux",
        "load": 0.1,
        "commit": "abc",
        "command": "--middle",
    }
    return {"date": "2026-11-29", **machine, "versions": {"python": "3.11.2"}, "workloads": {"rows-mlp": workload}}


def test_a_side_that_is_wrong_or_failed_is_shown_as_that(results: dict[str, Any]) -> None:
    page = page_of(results)

    assert "| Sail, mapInArrow | 0.10 (0.10 to 0.10) |  | **wrong**: 98 rows instead of 100 |  |" in page
    assert "| Ray Data | | | failed: the / process died | |" in page
    assert "| **sparkscore** | 3.00 (3.00 to 3.00) | 3.00 x | equal to the bit | loads 2 |" in page


def test_the_page_says_who_is_faster(results: dict[str, Any]) -> None:
    # Sail is faster too, and wrong.
    assert "- 100 rows: Daft (1.50 x)\n" in page_of(results)


def test_who_scores_nothing_is_not_faster(results: dict[str, Any]) -> None:
    results["workloads"]["rows-mlp"]["sides"]["bare-spark"] = side(0.5, 0.5)

    assert "- 100 rows: Daft (1.50 x)\n" in page_of(results)
    assert "bare-spark" not in str(list(groups_of(results)))
    assert f"| {SIDES['bare-spark'].label} | 0.50" in page_of(results)


def test_the_page_says_what_added_columns_cost(results: dict[str, Any]) -> None:
    assert "## What lineage" not in page_of(results)

    sides = results["workloads"]["rows-mlp"]["sides"]
    sides |= {"limit-lineage": side(1.5, 1.5), "ours-all-columns": side(6.0, 6.0)}

    assert page_of(results).count("\n- 100 rows: the limit, which also writes lineage columns, over the limit 1.50 x\n")
    assert "\n- 100 rows: sparkscore over the limit that also writes lineage columns 2.00 x\n" in page_of(results)
    assert "\n- 100 rows: sparkscore, which carries all columns, over sparkscore 2.00 x\n" in page_of(results)


def test_workloads_that_were_measured_again_say_their_commit(results: dict[str, Any]) -> None:
    again = {**results, "commit": "def", "workloads": {"small-warm": results["workloads"]["rows-mlp"]}}

    page = page_of(merged([results, again]))

    assert "commit abc:" in page
    assert "`--only rows-mlp`.\n" in page
    assert "`--only small-warm`. Measured later, at commit def.\n" in page


def test_a_busy_machine_is_said(results: dict[str, Any]) -> None:
    assert "busy" not in page_of(results)
    assert "**The machine was busy.**" in page_of({**results, "load": 3.0})


def test_the_page_says_how_it_was_measured(results: dict[str, Any]) -> None:
    assert "Measured by: `python -m tests.bench --middle`." in page_of(results)
    assert "Measured by" not in page_of({**results, "command": ""})


def test_a_page_without_results_has_the_goals_only(tmp_path: Path) -> None:
    write_pages({"workloads": {}}, tmp_path)

    assert "so this page has no figures" in (tmp_path / "benchmarks.md").read_text()
    assert not (tmp_path / "benchmarks.svg").exists()


def test_a_smaller_workload_says_nothing_about_goals(results: dict[str, Any]) -> None:
    results["workloads"]["rows-mlp"]["sides"]["ray"] = side(30.0, 30.0)
    line = "| 2 M rows, MLP: Ray Data over sparkscore | ≥ 8 x | {} |"
    whole = page_of(results)
    results["workloads"]["rows-mlp"]["is_whole"] = False

    assert line.format("10.0 x | reached") in whole
    assert line.format("not measured | ") in page_of(results)
    assert "Only 100 items" in page_of(results)


def test_a_goal_that_is_not_reached_has_its_profile(results: dict[str, Any]) -> None:
    results["workloads"]["rows-mlp"]["sides"]["ray"] = side(9.0, 9.0)

    line = next(line for line in page_of(results).splitlines() if "MLP: Ray Data" in line)

    assert "| 3.00 x | **not reached**: [profile](decisions/0095-" in line
    assert line.endswith("; half a second is the driver's and the JVM's, while no worker computes |")


def test_a_goal_without_a_figure_is_not_measured(results: dict[str, Any]) -> None:
    assert "| 100,000 files: planning | ≤ 30 s | not measured |  |" in page_of(results)


def test_the_picture_is_svg_with_a_bar_for_each_right_side(results: dict[str, Any], tmp_path: Path) -> None:
    write_pages(results, tmp_path)
    picture = ET.parse(tmp_path / "benchmarks.svg")  # noqa: S314 - written a line above

    assert len(picture.findall("{*}rect")) == 3


def test_longer_ratios_have_longer_bars_and_texts_are_escaped() -> None:
    drawn = draw([Group("a < b", [Bar("x & y", 1.0, is_ours=True), Bar("z", 4.0, is_ours=False)])])
    picture = ET.fromstring(drawn)  # noqa: S314 - written a line above
    widths = [float(bar.attrib["width"]) for bar in picture.findall("{*}rect")]

    assert widths[0] < widths[1] < 4 * widths[0]
    assert [text.text for text in picture.findall("{*}text")][:2] == ["a < b", "x & y"]


def test_the_page_is_that_of_its_results() -> None:
    results = json.loads((DOCS / "benchmarks.json").read_text(encoding="utf-8"))

    assert (DOCS / "benchmarks.md").read_text(encoding="utf-8") == page_of(results), "python -m tests.bench --page"
