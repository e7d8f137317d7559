from __future__ import annotations

import json
from itertools import chain, count
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.bench.__main__ import main
from tests.bench.cases import Workload
from tests.bench.process import running
from tests.bench.rounds import SideResult, Start, Tell


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Workload]:
    """The workloads that were run; that of files fails in the harness itself."""
    found: list[Workload] = []

    def run(workload: Workload, _cache: Path, _folder: Path, tell: Tell, start: Start) -> dict[str, SideResult]:
        found.append(workload)
        tell(f"{workload.name}, in {'processes of its own' if start is running else 'processes that stay'}")
        if workload.layout == "images":
            raise MemoryError("too many files")
        return {"limit": SideResult([1.0], "what the others are compared with", is_right=True)}

    monkeypatch.setattr("tests.bench.__main__.run_workload", run)
    monkeypatch.setattr("tests.bench.__main__.case_of", lambda *_: None)
    monkeypatch.setattr("tests.bench.__main__.FOLDER", tmp_path / "bench")
    # What the benchmark does to its own process, these tests are spared.
    monkeypatch.setattr("tests.bench.__main__.QUIET", {})
    monkeypatch.setattr("tests.bench.__main__.SHORT_JVMS", {})
    monkeypatch.setattr("tests.bench.__main__.signal", SimpleNamespace(signal=lambda *_: None, SIGTERM=15))
    monkeypatch.setattr("tests.bench.__main__.describe", dict)
    return found


def test_a_workload_that_fails_does_not_end_the_others(measured: list[Workload], tmp_path: Path) -> None:
    code = main(["--only", "images", "small-warm", "--results", str(tmp_path / "results.json")])

    results = json.loads((tmp_path / "results.json").read_text())
    assert code == 1
    assert [each.name for each in measured] == ["images", "small-warm"]
    assert results["workloads"]["images"]["sides"]["ours"]["error"] == (
        "the benchmark failed: MemoryError('too many files')"
    )
    assert results["workloads"]["small-warm"]["sides"]["limit"]["seconds"] == [1.0]
    assert results["command"] == "--only images small-warm"


def test_the_middle_form_begins_with_the_most_important_and_ends_in_time(
    measured: list[Workload], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = chain([0.0, 10.0, 59.0], count(61.0))
    monkeypatch.setattr("tests.bench.__main__.time", SimpleNamespace(monotonic=lambda: next(times)))

    main(["--middle", "--minutes", "1", "--results", str(tmp_path / "results.json")])

    assert [each.name for each in measured] == ["rows-mlp", "large-mlp"]
    assert measured[0].rounds == 3


def test_the_quick_form_runs_what_has_processes_of_its_own_beside_the_rest(
    measured: list[Workload], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["small-cold", "small-warm", "memory", "loads"]

    assert main(["--quick", "--only", *names, "--results", str(tmp_path / "results.json")]) == 0

    assert list(json.loads((tmp_path / "results.json").read_text())["workloads"]) == names
    assert sorted(each.name for each in measured) == sorted(names)
    assert capsys.readouterr().out.splitlines()[:4] == [
        "small-cold, in processes of its own",
        "small-warm, in processes that stay",
        "memory, in processes of its own",
        "loads, in processes that stay",
    ]
