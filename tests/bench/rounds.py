"""Run the sides of a workload in turns, so that whatever else happens on the machine happens to all of them."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from deltalake.exceptions import DeltaError

from tests.bench.cases import Case, Workload
from tests.bench.cold import command_of
from tests.bench.inputs import make_input
from tests.bench.memory import Peaks, peaks_of
from tests.bench.models import make_model
from tests.bench.predictor import loads_noted
from tests.bench.process import RUN_S, OneOfSeveral, SideError, SideProcess, environment_of, make_folder, running
from tests.bench.registry import SIDES
from tests.bench.verify import compare, count_rows, read_result

_SCRIPTS: Final = Path(__file__).parent / "scripts"
# Spark ends workers that had nothing to do for a minute; a side that waited longer is woken up before its turn.
_AWAKE_S: Final = 30
IS_LIMIT: Final = "what the others are compared with"
Tell = Callable[[str], None]
Processes = Mapping[str, SideProcess | OneOfSeveral]
Start = Callable[[list[str], Case, Path], AbstractContextManager[tuple[Processes, dict[str, str]]]]


@dataclass
class SideResult:
    """What the page says about a side.

    Attributes:
        seconds: of the rounds that count.
        check: the comparison with the limit, in words.
        is_right: whether rows and values were right in all rounds.
        facts: what the side said of its last run.
        error: why there is no result; empty otherwise.
    """

    seconds: list[float] = field(default_factory=list)
    check: str = ""
    is_right: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    error: str = ""


def run_workload(
    workload: Workload, cache: Path, folder: Path, tell: Tell, start: Start = running
) -> dict[str, SideResult]:
    """Make the input and the model, run all sides, and return their results by name.

    Args:
        workload: what to measure.
        cache: folder for inputs and models.
        folder: folder for what the sides write.
        tell: gets the lines for the user.
        start: gives the processes of sides, which either are started for this workload, or stay.
    """
    tell(f"{workload.name}: {workload.title}; {workload.size:,} items")
    if workload.kind == "memory":
        return _measure_memory(workload, cache, folder, tell)
    case = case_of(workload, cache)
    results = {name: SideResult() for name in workload.sides}
    is_cold = workload.kind == "cold"
    with (
        _cold_turns(case, workload, folder) if is_cold else _warm_turns(case, workload, folder, results, start) as runs
    ):
        take_turns(runs, case, workload.rounds, folder, results)
    for name, result in results.items():
        seconds = f"{[round(each, 2) for each in result.seconds]} s, " if result.seconds else ""
        shown = result.error or f"{seconds}{result.check} {result.facts or ''}"
        tell(f"  {SIDES[name].label}: {shown}")
    return results


def case_of(workload: Workload, cache: Path) -> Case:
    """Make the input and the model of a workload in the cache, and return the case for its sides."""
    source = make_input(cache, workload.layout, workload.size, workload.files)
    small = make_input(cache, workload.layout, max(min(workload.size // 10, 100_000), min(workload.size, 10)))
    script = str(_SCRIPTS / workload.script / "score.py") if workload.script else ""
    if workload.engine == "script":
        model = str(_SCRIPTS / workload.model / "score.py")
        return Case(workload.name, "files", str(source), str(small), "script", model, settings=workload.settings)
    made = make_model(cache, workload.model)
    return Case(
        workload.name, "rows", str(source), str(small), workload.engine, made.files[workload.engine], made.flavors,
        carry=carried_by(workload), output_format=workload.output_format, script=script,
        partitions=workload.files, settings=workload.settings,
    )  # fmt: skip


def carried_by(workload: Workload) -> tuple[str, ...]:
    """Return the columns that each side of a workload copies into its result."""
    return ("id", *(f"c{number:02}" for number in range(20))) if workload.layout == "mixed" else ("id",)


Run = Callable[[Path], dict[str, Any]]


@contextmanager
def _warm_turns(
    case: Case, workload: Workload, folder: Path, results: Mapping[str, SideResult], start: Start
) -> Iterator[dict[str, Run]]:
    """Give a function for each side that is ready, which does one run in the side's process."""
    with start(list(workload.sides), case, folder) as (processes, errors):
        for name, error in errors.items():
            results[name].error = error
        yield {name: Warm(process, case, is_watched=workload.is_watched).run for name, process in processes.items()}


class Warm:
    """Does the runs of a process that stays, and wakes it up before if it had nothing to do for long."""

    def __init__(self, process: SideProcess | OneOfSeveral, case: Case, *, is_watched: bool) -> None:
        self._process, self._case, self._is_watched = process, case, is_watched
        # The first run wakes up the side itself, and does not count.
        self._last, self._naps = math.inf, 0

    def run(self, output: Path) -> dict[str, Any]:
        if SIDES[self._process.name].falls_asleep and time.monotonic() - self._last > _AWAKE_S:
            self._naps += 1
            small = self._process.folder / "out" / f"small{self._naps}"
            self._process.run(self._case.small, small)
            shutil.rmtree(small, ignore_errors=True)
        loads = self._process.folder / "loads"
        shutil.rmtree(loads)
        loads.mkdir()
        with peaks_of(self._process.pid) if self._is_watched else nullcontext(Peaks()) as peaks:
            answer = self._process.run(self._case.source, output)
        self._last = time.monotonic()
        noted, processes = loads_noted(loads)
        if noted:
            answer["facts"] |= {"loads": noted, "processes": processes}
        if self._is_watched:
            answer["facts"] |= peaks.facts()
        return answer


@contextmanager
def _cold_turns(case: Case, workload: Workload, folder: Path) -> Iterator[dict[str, Run]]:
    """Give a function for each side, which starts a process, and waits for its end."""

    def run_of(name: str) -> Run:
        make_folder(folder / name)

        def run(output: Path) -> dict[str, Any]:
            command, start = command_of(name, case, folder / name, output), time.perf_counter()
            with (folder / name / "log.txt").open("ab") as log:
                done = subprocess.run(
                    command, env=environment_of(name, folder / name), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    timeout=RUN_S, check=False,
                )  # fmt: skip
            if done.returncode:
                raise SideError(f"exit code {done.returncode}")
            return {"seconds": time.perf_counter() - start, "facts": {}}

        return run

    yield {name: run_of(name) for name in workload.sides}


def take_turns(runs: dict[str, Run], case: Case, rounds: int, folder: Path, results: Mapping[str, SideResult]) -> None:
    """Let the sides run in turns. A side that fails is left out from then on.

    The first round does not count: its results are compared with those of the limit, which begins. In later rounds the
    rows are counted, and another side begins each time.
    """
    names = sorted(runs, key=lambda name: name != "limit")
    limit: pa.Table | None = None
    for number in range(rounds + 1):
        shift = number % max(1, len(names))
        for name in [*names[shift:], *names[:shift]]:
            result, output = results[name], folder / name / "out" / str(number)
            if result.error:
                continue
            os.sync()  # what the one before wrote is not to be this one's burden
            try:
                if limit is None and name != "limit":
                    raise SideError("nothing to compare with: the limit failed")  # noqa: TRY301 - as any other failure
                answer = runs[name](output)
                if number:
                    result.seconds.append(answer["seconds"])
                if number == 0 and SIDES[name].scores:
                    limit = _check(result, output, case, limit)
                else:
                    _count(result, output, case, limit)
                result.facts = answer["facts"]
            except (SideError, OSError, ValueError, subprocess.TimeoutExpired, pa.ArrowException, DeltaError) as error:
                result.error = str(error) or type(error).__name__
            shutil.rmtree(output, ignore_errors=True)


def _check(result: SideResult, output: Path, case: Case, limit: pa.Table | None) -> pa.Table:
    """Compare a side's result with that of the limit, or keep that of the limit."""
    columns = list(dict.fromkeys(["id", *case.carry, "prediction"]))
    found = read_result(output, case.output_format, columns)
    if limit is None:
        result.check, result.is_right = IS_LIMIT, True
        return found
    verdict = compare(found, limit)
    result.check, result.is_right = verdict.text, verdict.is_right
    return limit


def _count(result: SideResult, output: Path, case: Case, limit: pa.Table | None) -> None:
    """Compare the number of rows with that of the limit."""
    rows = count_rows(output, case.output_format)
    if not result.check:
        result.check, result.is_right = "rows counted", True
    if limit is not None and rows != limit.num_rows:
        result.check, result.is_right = f"{rows:,} rows instead of {limit.num_rows:,}", False


def _measure_memory(workload: Workload, cache: Path, folder: Path, tell: Tell) -> dict[str, SideResult]:
    """Start each side anew for several sizes; return seconds and peaks as facts with the factor in their names."""
    results = {name: SideResult(is_right=True, check="rows counted") for name in workload.sides}
    for factor in workload.factors:
        case = case_of(workload.resized(workload.size * factor), cache)
        for name, result in results.items():
            if not result.error:
                try:
                    _measure_once(name, case, folder / f"{name}-{factor}", factor, result)
                except SideError as error:
                    result.error = str(error)
                tell(f"  {SIDES[name].label}, x{factor}: {result.error or result.facts}")
    return results


def _measure_once(name: str, case: Case, folder: Path, factor: int, result: SideResult) -> None:
    process = SideProcess(name, case, folder)
    try:
        process.wait_until_ready()
        with peaks_of(process.pid) as peaks:
            answer = process.run(case.source, folder / "out" / "0")
        rows, wanted = count_rows(folder / "out" / "0", case.output_format), count_rows(Path(case.source), "parquet")
        if rows != wanted:
            result.check, result.is_right = f"{rows:,} rows instead of {wanted:,}", False
    finally:
        process.stop()
        shutil.rmtree(folder / "out", ignore_errors=True)
    result.seconds.append(answer["seconds"])
    result.facts |= {f"{key}_x{factor}": round(value) for key, value in peaks.facts().items()}
    result.facts[f"s_x{factor}"] = round(answer["seconds"], 2)
