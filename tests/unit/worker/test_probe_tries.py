"""How often a probe is made again."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pytest

from sparkscore.error_codes import ErrorCode
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure, Outcome
from sparkscore.scorers.specs import RowsSpec
from sparkscore.worker import EngineSpec, ProbeReport, ProbeSpec, ResultSpec, loaded, probe, read_probe_report
from sparkscore.worker.engine import Loaded, Probed

ENGINE = EngineSpec("probe-tries", RowsSpec(()))
GOOD = Probed(pa.schema([("y", pa.int64())]))


class PassingFault:
    """An engine whose first probes fail, and end its process where that is asked for."""

    def __init__(self, failures: int, code: str, *, ends: bool = False) -> None:
        self.coming = [Probed(failure=Failure(ErrorCode(code), "E", "x"))] * failures
        self.ends = ends
        self.is_loaded = True
        self.sizes: list[int] = []

    def load(self) -> Loaded:
        self.is_loaded = True
        return Loaded()

    def probe(self, mini_batch: MiniBatch, declared: pa.Schema | None) -> Probed:
        assert declared is None
        self.sizes.append(mini_batch.item_count)
        self.is_loaded = not (self.ends and self.coming)
        return self.coming.pop() if self.coming else GOOD

    def score(self, mini_batch: MiniBatch, spec: ResultSpec, scored_at: datetime) -> Outcome:
        raise NotImplementedError

    def close(self) -> None:
        self.is_loaded = False


def probed(
    engine: PassingFault, monkeypatch: pytest.MonkeyPatch, *, tries: int, is_tolerant: bool = False
) -> ProbeReport:
    engines = loaded.KeptEngines()
    engines.keep(loaded.LoadedEngine(ENGINE.key, "worker", engine))
    monkeypatch.setattr(loaded, "_engines", engines)
    spec = ProbeSpec(ENGINE, "0", ("/a", "/b"), None, None, is_tolerant, tries=tries)
    return read_probe_report(pa.Table.from_batches([probe(spec)]))


@pytest.mark.parametrize(("code", "loads"), [("SCRIPT_RUN", 0), ("MINI_BATCH_TIMEOUT", 2), ("PROCESS_ENDED", 2)])
def test_a_probe_that_fails_is_made_again_as_often_as_a_mini_batch(
    code: str, loads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = probed(PassingFault(2, code, ends=loads > 0), monkeypatch, tries=3)

    assert (report.failure, report.predictions, report.calls, report.loads) == (None, GOOD.predictions, 3, loads)


@pytest.mark.parametrize("tries", [1, 2, 3])
def test_a_probe_that_fails_each_time_says_why(tries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = PassingFault(9, "SCRIPT_RUN")

    report = probed(engine, monkeypatch, tries=tries)

    assert report.failure is not None
    assert (report.failure.code, report.calls, engine.sizes) == ("SCRIPT_RUN", tries, [2] * tries)


def test_where_failures_are_tolerated_the_halves_are_probed_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = PassingFault(3, "SCRIPT_RUN")

    report = probed(engine, monkeypatch, tries=2, is_tolerant=True)

    assert (report.failure, report.calls, engine.sizes) == (None, 4, [2, 2, 1, 1])
