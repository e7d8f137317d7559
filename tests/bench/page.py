"""Write docs/benchmarks.md and its picture from the results of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.bench.goals import GOALS, Goal, Results, ratio_of, side_of
from tests.bench.plot import Bar, Group, draw
from tests.bench.registry import ROOT, SIDES

_OURS: Final = "ours"
# A load of more than this before the benchmark began means that something else was running.
_QUIET_LOAD: Final = 0.5
_LONG: Final = 10
_PICTURE: Final = """\
## Ratios to the limit

Shorter is better; the scale is logarithmic.

![Seconds of each side, divided by those of the limit](benchmarks.svg)
"""
_COSTS: Final = """\
## What lineage and carried columns cost

sparkscore adds five columns that say where each row comes from, and carries all columns unless told otherwise. The
others write `id` and the prediction only, and so does the limit in all other ratios.
"""
_ADDED: Final = (
    ("the limit, which also writes lineage columns, over the limit", "limit-lineage", "limit"),
    ("sparkscore over the limit that also writes lineage columns", "ours", "limit-lineage"),
    ("sparkscore, which carries all columns, over sparkscore", "ours-all-columns", "ours"),
)
_NOTHING: Final = """\
Nothing has been measured on a quiet machine yet, so this page has no figures.
"""
_BUSY: Final = """
**The machine was busy.** Ratios within a round show less of that than seconds do, but these figures are a sketch.
"""
_HEAD: Final = """\
# Benchmarks

sparkscore beside what else scores tables and files: two bare processes with PyArrow and the model's own library (*the
limit*, with nothing that makes a run safe), functions of Spark and MLflow, Ray Data, Daft, Sail, and Comet.

<!-- not run: it takes hours -->
```bash
make bench                         # everything, about five hours; results in .make/bench/results/
make bench BENCH_ARGS=--middle     # all workloads with fewer rounds and sides, two hours
make bench-quick                   # 1,000 rows, once: shows that all sides run and agree, up to 3 minutes
.venv/bin/python -m tests.bench --only rows-mlp --sides ours daft   # one workload, some sides
.venv/bin/python -m tests.bench --page RESULTS.json [LATER.json]    # write this page again
```

- Each side has a process of its own. The sides run in turns, round by round, and another one begins each time. The
  first round does not count. Seconds are medians; ratios are medians of the ratios within a round.
- All sides read the same columns, score with the same library and one thread for each core, and write `id` and the
  prediction. sparkscore also writes its lineage columns.
- The result of the first round is compared with the limit's: the ids, the carried columns, each prediction. The rows of
  the other rounds are counted. A side that is fast and wrong is shown as wrong.
- Memory, and the time of 20 M and 200 M rows beside it, is measured in one run of each size, in a process of its own.
"""


def write_pages(results: Results, docs: Path) -> None:
    """Write the page, its picture, and the results themselves into the folder of pages."""
    (docs / "benchmarks.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if groups := list(groups_of(results)):
        (docs / "benchmarks.svg").write_text(draw(groups), encoding="utf-8")
    (docs / "benchmarks.md").write_text(page_of(results), encoding="utf-8")


def merged(runs: Sequence[Results]) -> Results:
    """Return the results of the first run, with the workloads of the others instead of its own or beside them.

    Those of the others keep the commit that they were measured at.
    """
    first, *others = runs
    workloads = dict(first["workloads"])
    for run in others:
        workloads |= {name: {**workload, "commit": run["commit"]} for name, workload in run["workloads"].items()}
    return {**first, "workloads": workloads}


def page_of(results: Results) -> str:
    """Return the page as Markdown."""
    picture = _PICTURE if any(True for _ in groups_of(results)) else ""
    workloads = [_workload(results, name) for name in results["workloads"]]
    versions = _versions(results) if workloads else ""
    found = [_measured_on(results), _goals(results), _costs(results), picture, _losses(results)]
    parts = [_HEAD, *found, *workloads, versions]
    return "\n".join(part for part in parts if part)


def groups_of(results: Results) -> Iterator[Group]:
    """Yield the bars of each workload that interleaves several sides."""
    for name, workload in results["workloads"].items():
        bars = [
            Bar(SIDES[side].label, value, side.startswith(_OURS))
            for side in workload["sides"]
            if SIDES[side].scores and (value := ratio_of(results, name, side, "limit")) is not None
        ]
        if len(bars) > 1 and workload["kind"] == "warm":
            yield Group(workload["title"], sorted(bars, key=lambda bar: bar.ratio))


def _measured_on(results: Results) -> str:
    if not results["workloads"]:
        return _NOTHING
    machine = f"{results['cores']} cores ({results['processor']}), {results['memory_gib']} GiB"
    text = f"Measured on {results['date']}, commit {results['commit']}: {machine}, load before: {results['load']}.\n"
    text += f"Measured by: `python -m tests.bench {results['command']}`.\n" if results["command"] else ""
    return text + _BUSY if results["load"] > _QUIET_LOAD else text


def _goals(results: Results) -> str:
    lines = ["## Goals\n", "| figure | goal | measured | |", "|---|---|---|---|"]
    # A workload with fewer rows shows that the sides run; its ratios say nothing about the goals.
    whole = {name: each for name, each in results["workloads"].items() if each["is_whole"]}
    for goal in GOALS:
        value = goal.measure({**results, "workloads": whole})
        sign = "≤" if goal.is_upper else "≥"
        shown = "not measured" if value is None else f"{_number(value)} {goal.unit}"
        verdict = "" if value is None else "reached" if goal.is_reached(value) else f"**not reached**{_why(goal)}"
        lines.append(f"| {goal.text} | {sign} {goal.bound:g} {goal.unit} | {shown} | {verdict} |")
    return "\n".join(lines) + "\n"


def _why(goal: Goal) -> str:
    """Return a link to the decision that has the profile, and a reason, to stand behind a goal that is not reached."""
    pages = sorted((ROOT / "docs" / "decisions").glob(f"{goal.profile:04}-*.md"))
    links = "".join(f": [profile](decisions/{page.name})" for page in pages)
    return f"{links}; {goal.why}" if links and goal.why else links


def _costs(results: Results) -> str:
    """Return what the columns cost that sparkscore adds, for each workload that has been measured with them."""
    lines = []
    for name, workload in results["workloads"].items():
        figures = {text: ratio_of(results, name, over, under) for text, over, under in _ADDED}
        lines += [
            f"- {workload['title']}: {text} {value:.2f} x" for text, value in figures.items() if value is not None
        ]
    return "\n".join([_COSTS, *lines]) + "\n" if lines else ""


def _losses(results: Results) -> str:
    """Return the list of sides that are faster than sparkscore."""
    lines = []
    for name, workload in results["workloads"].items():
        others = [each for each in workload["sides"] if SIDES[each].scores and not each.startswith((_OURS, "limit"))]
        faster = [(by, side) for side in others if (by := ratio_of(results, name, _OURS, side) or 0) > 1]
        if faster:
            sides = ", ".join(f"{SIDES[side].label} ({_number(by)} x)" for by, side in sorted(faster, reverse=True))
            lines.append(f"- {workload['title']}: {sides}")
    if not lines:
        return ""
    return "\n".join(["## Where sparkscore is slower\n", "How many times longer it takes than each:\n", *lines]) + "\n"


def _workload(results: Results, name: str) -> str:
    workload = results["workloads"][name]
    size = f"{workload['size']:,}" if workload["is_whole"] else f"Only {workload['size']:,}"
    commit = f" Measured later, at commit {workload['commit']}." if "commit" in workload else ""
    lines = [
        f"## {workload['title']}\n",
        f"{size} items, {workload['rounds']} rounds; `--only {name}`.{commit}\n",
        "| side | seconds | to the limit | result | |",
        "|---|---|---|---|---|",
        *(_row(results, name, side, result) for side, result in workload["sides"].items()),
    ]
    return "\n".join(lines) + "\n"


def _row(results: Results, name: str, side: str, result: Mapping[str, Any]) -> str:
    label = f"**{SIDES[side].label}**" if side.startswith(_OURS) else SIDES[side].label
    if result["error"]:
        return f"| {label} | | | failed: {_cell(result['error'])} | |"
    # Those of different sizes have no median; they are among the facts.
    seconds = [] if results["workloads"][name]["kind"] == "memory" else result["seconds"]
    shown = f"{_number(median(seconds))} ({_number(min(seconds))} to {_number(max(seconds))})" if seconds else ""
    value = ratio_of(results, name, side, "limit") if seconds and side_of(results, name, side) else None
    ratio = "" if value is None else f"{value:.2f} x"
    check = result["check"] if result["is_right"] else f"**wrong**: {result['check']}"
    facts = ", ".join(f"{key} {_number(value)}" for key, value in result["facts"].items())
    return f"| {label} | {shown} | {ratio} | {_cell(check)} | {facts} |"


def _versions(results: Results) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return f"## Versions\n\n{versions}; {results['system']}.\n"


def _number(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if value >= _LONG * _LONG else f"{value:.1f}" if value >= _LONG else f"{value:.2f}"


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
