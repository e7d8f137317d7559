"""Measure sparkscore beside what else scores tables and files: python -m tests.bench."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.bench.cases import MIDDLE, QUICK, WORKLOADS, Workload
from tests.bench.goals import findings
from tests.bench.machine import describe
from tests.bench.page import merged, write_pages
from tests.bench.process import QUIET, SHORT_JVMS, Engines, running
from tests.bench.registry import ROOT, SIDES
from tests.bench.rounds import SideResult, Start, Tell, case_of, run_workload

FOLDER: Final = ROOT / ".make" / "bench"


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    if options.page:
        write_pages(merged([json.loads(file.read_text()) for file in options.page]), ROOT / "docs")
        return 0
    # As with Ctrl-C, the processes of the sides are ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    os.environ.update(QUIET)  # MLflow also writes models, in this process
    if options.quick:
        os.environ.update(SHORT_JVMS)
    end = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")
    began = {"date": datetime.now(UTC).date().isoformat(), "command": _shown(arguments)}
    results: dict[str, Any] = {**began, **describe(), "workloads": {}}
    target = options.results or FOLDER / "results" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    chosen = _chosen(options)
    with _apart(chosen if options.quick else []) as apart, _processes(stay=options.quick) as start:
        for workload in chosen:
            if time.monotonic() > end:
                _tell(f"{workload.name}: left out, because the time is up")
                continue
            sides = apart(workload) or _measure(workload, start)
            results["workloads"][workload.name] = _entry(workload, sides)
            target.write_text(json.dumps(results, indent=1, default=str) + "\n")
    _tell(f"results: {target}; the page: python -m tests.bench --page {target}")
    wrong = list(findings(results))
    _tell("\n".join(wrong) or "all results are right")
    return 1 if wrong else 0


def _shown(arguments: list[str]) -> str:
    """Return the arguments as text, without the path of the results: it means nothing on another machine."""
    pairs = zip(["", *arguments], arguments, strict=False)
    return shlex.join(each for before, each in pairs if "--results" not in {before, each})


@contextmanager
def _apart(workloads: list[Workload]) -> Iterator[Callable[[Workload], dict[str, SideResult] | None]]:
    """Run the workloads whose sides start processes of their own beside all others: not where times count.

    Gives what waits for one of them, and returns its results, or None for a workload that is none of them.
    """
    own = [workload for workload in workloads if workload.kind != "warm"]
    for workload in own:
        case_of(workload, FOLDER / "cache")  # two threads must not make one input
    lines: dict[str, list[str]] = {workload.name: [] for workload in own}
    pool = ThreadPoolExecutor(max_workers=1)
    begun = {each.name: pool.submit(_measure, each, running, lines[each.name].append) for each in own}

    def wait(workload: Workload) -> dict[str, SideResult] | None:
        if workload.name not in begun:
            return None
        sides = begun[workload.name].result()
        _tell("\n".join(lines[workload.name]))
        return sides

    try:
        yield wait
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _processes(*, stay: bool) -> Iterator[Start]:
    """Give what starts the processes of sides: for each workload, or once for each engine."""
    if not stay:
        yield running
        return
    folder = FOLDER / "sides" / "engines"
    shutil.rmtree(folder, ignore_errors=True)
    engines = Engines(folder)
    try:
        yield engines.running
    finally:
        engines.stop()


def _measure(workload: Workload, start: Start, tell: Tell | None = None) -> dict[str, SideResult]:
    folder = FOLDER / "sides" / workload.name
    shutil.rmtree(folder, ignore_errors=True)
    try:
        return run_workload(workload, FOLDER / "cache", folder, tell or _tell, start)
    except Exception as error:  # noqa: BLE001 - the other workloads take hours
        traceback.print_exc()
        return {name: SideResult(error=f"the benchmark failed: {error!r}") for name in workload.sides}


def _entry(workload: Workload, sides: dict[str, Any]) -> dict[str, Any]:
    described = {key: getattr(workload, key) for key in ("title", "size", "kind", "rounds", "output_format")}
    standard = next(each for each in WORKLOADS if each.name == workload.name)
    return {
        **described,
        "is_whole": workload.size == standard.size,
        "sides": {name: asdict(result) for name, result in sides.items()},
    }


def _chosen(options: argparse.Namespace) -> list[Workload]:
    """Return the workloads that the options name, in their sizes."""
    known = {workload.name: workload for workload in WORKLOADS}
    names = options.only or (QUICK if options.quick else MIDDLE if options.middle else known)
    chosen = [known[name] for name in names]
    if options.quick:
        chosen = [workload.quick() for workload in chosen]
    if options.middle:
        chosen = [workload.middle() for workload in chosen]
    if options.scale:
        chosen = [replace(workload, size=max(100, int(workload.size * options.scale))) for workload in chosen]
    if options.rounds:
        chosen = [replace(workload, rounds=options.rounds) for workload in chosen]
    if options.sides:
        wanted = {"limit", *options.sides}
        chosen = [replace(each, sides=tuple(side for side in each.sides if side in wanted)) for each in chosen]
    return chosen


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--quick", action="store_true", help="1,000 rows, once: shows that all sides run and agree")
    form.add_argument("--middle", action="store_true", help="all workloads with fewer rounds and sides, two hours")
    parser.add_argument("--minutes", type=float, help="begin no further workload after this time")
    parser.add_argument("--only", nargs="+", choices=[workload.name for workload in WORKLOADS], metavar="WORKLOAD")
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), metavar="SIDE", help="the limit and these")
    parser.add_argument("--rounds", type=int, help="rounds that count")
    parser.add_argument("--scale", type=float, help="factor for the number of rows and files")
    parser.add_argument("--results", type=Path, help="file for the results, in JSON")
    parser.add_argument(
        "--page", type=Path, nargs="+", metavar="RESULTS", help="only write docs/benchmarks.md; later files win"
    )
    return parser.parse_args(arguments)


def _tell(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this program's own output


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
