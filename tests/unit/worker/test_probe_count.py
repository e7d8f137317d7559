"""What the probe makes of the number of elements that come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import describe_failure
from sparkscore.scorers.failed import ScorerFailedError
from sparkscore.scorers.frames import HandedOver
from sparkscore.worker import ProbeReport, ProbeSpec, probe, read_probe_report
from sparkscore.worker import probe as probe_function
from sparkscore.worker.child.messages import write_stream
from sparkscore.worker.engine import EngineSpec, LocalEngine
from sparkscore.worker.loaded import LoadedEngine


class Scorer:
    """A scorer around a function of a DataFrame, which may get fewer columns than the input has, as a model does."""

    def __init__(self, run: Callable[[pd.DataFrame], Any], given: int) -> None:
        self._run = run
        self._given = given
        self.handed_over: HandedOver | None = None
        self.sizes: list[int] = []

    def load(self) -> None: ...

    def score(self, mini_batch: MiniBatch) -> object:
        assert mini_batch.rows is not None
        self.sizes.append(mini_batch.item_count)
        rows = mini_batch.rows.select(range(self._given))
        self.handed_over = HandedOver(rows.to_pandas(), rows)
        try:
            return self._run(self.handed_over.frame)
        except Exception as error:  # noqa: BLE001 - as a script's own errors
            raise ScorerFailedError(describe_failure(error)) from None

    def close(self) -> None: ...


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[ProbeReport, list[int]]]:
    def call(
        run: Callable[[pd.DataFrame], Any], rows: int, columns: int, given: int = 0, **spec: Any
    ) -> tuple[ProbeReport, list[int]]:
        scorer = Scorer(run, given or columns)
        engine = LocalEngine(EngineSpec("k", scorer=None))  # type: ignore[arg-type]  # the scorer is put in its place
        engine._scorer = scorer
        loaded = LoadedEngine("k", "w", engine)
        monkeypatch.setitem(probe_function.__globals__, "engine_of_this_process", lambda _: loaded)
        table = pa.table({name: pa.array(range(rows), pa.float64()) for name in "xabcdefg"[:columns]})
        engine_spec = EngineSpec("k", None)  # type: ignore[arg-type]  # see above
        asked = ProbeSpec(engine_spec, "0", (), bytes(write_stream(table)), None, columns=columns, **spec)
        return read_probe_report(pa.Table.from_batches([probe(asked)])), scorer.sizes

    return call


@pytest.mark.parametrize(("columns", "given", "sizes"), [(5, 3, [3, 1]), (5, 4, [3]), (3, 3, [3, 1]), (3, 2, [3, 1])])
def test_a_model_may_get_fewer_columns_than_the_input_has(
    columns: int, given: int, sizes: list[int], probed: Any
) -> None:
    report, called = probed(each, 3, columns, given)

    assert (report.failure, report.is_proven, called) == (None, True, sizes)


def each(frame: pd.DataFrame) -> list[float]:
    return frame["x"].tolist()


def names(frame: pd.DataFrame) -> list[str]:
    return [str(name) for name in frame]


@pytest.mark.parametrize(
    ("run", "rows", "columns", "is_proven", "sizes"),
    [
        (each, 10, 3, True, [10]),
        (each, 2, 1, True, [2]),
        (each, 3, 3, True, [3, 1]),
        (each, 1, 1, False, [1]),
        (lambda frame: frame["x"][frame["x"] > 0].tolist(), 2, 2, False, [2, 1, 1]),
        (lambda frame: frame["x"][frame["x"] > 3].tolist(), 9, 2, False, [9]),
        (lambda frame: pd.DataFrame({"y": [frame["x"].sum()]}), 9, 2, False, [9]),
    ],
)
def test_a_count_that_may_be_chance_is_asked_for_again(
    run: Any, rows: int, columns: int, *, is_proven: bool, sizes: list[int], probed: Any
) -> None:
    report, called = probed(run, rows, columns)

    assert report.failure is None
    assert (report.is_proven, called, report.calls) == (is_proven, sizes, len(sizes))


@pytest.mark.parametrize(
    ("run", "rows", "columns", "spec"),
    [
        (names, 3, 3, {}),
        (names, 2, 2, {}),
        (names, 100, 2, {}),
        (lambda frame: [frame["x"].sum()], 2, 3, {}),
        (lambda frame: [frame["x"].sum()], 100, 1, {"is_tolerant": True}),
        (lambda frame: pd.DataFrame({"y": [frame["x"].sum()]}), 9, 2, {"is_joined": True}),
        (names, 3, 5, {"given": 3}),
        (names, 2, 5, {"given": 2}),
        (names, 9, 5, {"given": 3}),
    ],
)
def test_one_sum_and_one_value_for_each_column_are_refused_before_the_run(
    run: Any, rows: int, columns: int, spec: dict[str, Any], probed: Any
) -> None:
    report, called = probed(run, rows, columns, **spec)

    assert report.failure is not None
    assert (report.failure.code, report.failure.message[:16]) == ("OUTPUT_ROWS", "broken contract:")
    assert len(called) <= 3
