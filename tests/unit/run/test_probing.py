"""A script that returns nothing for the first mini-batches: its columns are learned from a later one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sparkscore.errors import OutputContractError
from sparkscore.minibatch import MiniBatch
from sparkscore.plan import Plan, Snapshot
from sparkscore.run import probing
from sparkscore.run.opened import Request
from sparkscore.run.prepare import prepare
from sparkscore.scorers import ScriptSpec
from sparkscore.worker import EngineSpec, ProbeReport, ProbeSpec

NO_DELIVERY: Any = None
ENGINE = EngineSpec("k", ScriptSpec(b"", "score.py"))
FILES = [MiniBatch(str(number), (f"/in/{number}",)) for number in range(3)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the script return something for the last file only, and note the mini-batches that it is asked for."""
    asked: list[str] = []

    def probe(_: object, spec: ProbeSpec) -> ProbeReport:
        asked.append(spec.mini_batch_id)
        found = pa.schema([("prediction", pa.int64())] if spec.files == ("/in/2",) else [])
        return ProbeReport(found, False, "w", 1, 1, (), None)

    monkeypatch.setattr(probing, "run_probe", probe)
    return asked


def request_of(deployment: Path) -> Any:
    plan = Plan(Snapshot("files", "in", 1, 1, 3))
    return Request(None, prepare(deployment), plan, None, None)  # type: ignore[arg-type]


def test_where_failed_items_are_tolerated_later_mini_batches_are_asked(
    make_deployment: Callable[..., Path], asked: list[str]
) -> None:
    request = request_of(make_deployment("def run(b): ...", settings={"error_threshold": -1}))

    report = probing.probe_columns(request, ENGINE, FILES, None, NO_DELIVERY)

    assert report.predictions is not None
    assert report.predictions.names == ["prediction"]
    assert asked == ["0", "1", "2"]


@pytest.mark.parametrize(("tolerated", "count"), [(0, 1), (-1, 2)])
def test_a_script_that_returns_nothing_needs_declared_columns(
    make_deployment: Callable[..., Path], asked: list[str], tolerated: int, count: int
) -> None:
    request = request_of(make_deployment("def run(b): ...", settings={"error_threshold": tolerated}))

    with pytest.raises(OutputContractError, match=rf"first {count} mini-batches.*Declare 'output.schema'") as caught:
        probing.probe_columns(request, ENGINE, FILES[:2], None, NO_DELIVERY)

    assert caught.value.code == "OUTPUT_UNKNOWN"
    assert len(asked) == count
