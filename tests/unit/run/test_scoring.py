from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql.types import StructType

from sparkscore.config import Deployment, Model
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ScoringScriptError, SourceNotFoundError
from sparkscore.minibatch import MiniBatch, MiniBatchLimit
from sparkscore.models.model_description import ModelDescription
from sparkscore.outcome import Failure
from sparkscore.parquet import ParquetReader
from sparkscore.plan import Plan, Snapshot
from sparkscore.row_units import FileRows
from sparkscore.run import PreparedRun, probing
from sparkscore.run import scoring as subject
from sparkscore.run.opened import InputRows, Request
from sparkscore.run.per_file import mini_batch_limit
from sparkscore.run.scoring import match_input, tolerance_of
from sparkscore.scorers import ScriptSpec
from sparkscore.signature.model_signature import ModelSignature
from sparkscore.sources.planned_rows import PlannedRows
from sparkscore.worker import EngineSpec, ProbeReport, ProbeSpec

Ask = Callable[..., PreparedRun]
NO_DELIVERY: Any = None
SPARK: Any = None
ENGINE = EngineSpec("k", ScriptSpec(b"", "score.py"))
FILES = Plan(Snapshot("files", "in", 3, 3, 30))


def request_of(prepared: PreparedRun, plan: Plan = FILES) -> Request:
    return Request(SPARK, prepared, plan, None, None)


@pytest.mark.parametrize(
    ("settings", "failed", "is_passed"),
    [
        ({}, 1, True),
        ({"error_threshold": -1}, 1000, False),
        ({"error_threshold": 2}, 2, False),
        ({"error_threshold": 2}, 3, True),
        ({"error_threshold": -1, "mini_batch_error_threshold": 2}, 3, True),
    ],
)
def test_a_run_tolerates_what_its_deployment_says(settings: dict[str, int], failed: int, *, is_passed: bool) -> None:
    tolerance = tolerance_of(Deployment.model_validate({"settings": settings}))

    assert tolerance.is_passed(failed, failed) == is_passed


@pytest.mark.parametrize(("size", "limit"), [(7, MiniBatchLimit(items=7)), ("1KB", MiniBatchLimit(size_bytes=1024))])
def test_a_mini_batch_has_the_size_of_its_deployment(ask: Ask, size: object, limit: MiniBatchLimit) -> None:
    assert mini_batch_limit(ask(settings__mini_batch_size=size).deployment, FILES.snapshot) == limit


def test_a_run_over_files_with_a_script_needs_no_matching(ask: Ask) -> None:
    source: Any = SimpleNamespace(columns=lambda: None, snapshot=FILES.snapshot)

    assert match_input(ask(), source) is None


def test_columns_are_known_before_the_first_call_where_they_are_declared(ask: Ask) -> None:
    declared = subject._known_predictions(ask(), None, ENGINE.scorer)

    assert declared == pa.schema([("size", pa.int64())])


def without_schema(prepared: PreparedRun, **changed: Any) -> PreparedRun:
    output = prepared.deployment.output.model_copy(update={"schema_ddl": None, "carry": changed.pop("carry", [])})
    return replace(prepared, deployment=prepared.deployment.model_copy(update={"output": output, **changed}))


def test_columns_of_a_script_that_declares_none_are_learned_from_a_probe(ask: Ask) -> None:
    assert subject._known_predictions(without_schema(ask()), None, ENGINE.scorer) is None


def test_columns_that_a_model_promises_are_known(ask: Ask) -> None:
    promised = pa.schema([("y", pa.float64())])
    description = ModelDescription("onnx", (), ModelSignature(outputs=promised))
    prepared = replace(without_schema(ask(), model=Model(path="m.onnx")), description=description)

    assert subject._known_predictions(prepared, None, ENGINE.scorer) == promised


def test_an_input_that_turns_out_to_be_empty_has_nothing_to_probe(ask: Ask) -> None:
    with pytest.raises(SourceNotFoundError, match=r"\[INPUT_EMPTY\]"):
        probing.probe_columns(request_of(ask()), ENGINE, [], None, NO_DELIVERY)


def test_a_probe_that_fails_says_what_failed_and_what_was_warned_of(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failure = Failure(ErrorCode.SCRIPT_RUN, "ValueError", "a bad file")
    report = ProbeReport(None, False, "w", 1, 1, ("another version of numpy",), failure)
    monkeypatch.setattr(probing, "run_probe", lambda *_: report)

    with pytest.raises(ScoringScriptError, match=r"\[SCRIPT_RUN\].*first mini-batch.*Nothing was written"):
        probing.probe_columns(request_of(ask()), ENGINE, [MiniBatch("0", ("/in/a",))], None, NO_DELIVERY)

    assert "another version of numpy" in caplog.text


@pytest.mark.parametrize(("carry", "is_joined"), [([], False), (["x"], True), (None, None)])
def test_a_probe_is_told_how_the_result_is_joined_with_its_rows(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, carry: list[str] | None, *, is_joined: bool | None
) -> None:
    asked: list[ProbeSpec] = []

    def probe(_: object, spec: ProbeSpec) -> ProbeReport:
        asked.append(spec)
        return ProbeReport(pa.schema([("p", pa.int64())]), False, "w", 1, 1, (), None)

    monkeypatch.setattr(probing, "run_probe", probe)
    prepared = ask(settings__error_threshold=-1, settings__retry_settings__max_retries=2)
    prepared = without_schema(prepared, carry=carry)

    probing.probe_columns(request_of(prepared), ENGINE, [MiniBatch("0", (), pa.table({"x": [1]}))], None, NO_DELIVERY)

    (spec,) = asked
    assert (spec.is_joined, spec.is_tolerant, spec.tries) == (is_joined, True, 3)
    assert spec.rows is not None


def planned_over(prepared: PreparedRun, files: tuple[FileRows, ...]) -> dict[int, int] | None:
    """Plan the work units of Parquet files for four task slots."""
    spark: Any = SimpleNamespace(conf=SimpleNamespace(get=lambda _: "local[4]"))
    stage: Any = SimpleNamespace(keep_parts=lambda parts, _: dict.fromkeys(parts.column("unit").to_pylist(), 1))
    rows = InputRows(StructType(), lambda: None, PlannedRows(ParquetReader(()), files))
    request = Request(spark, prepared, FILES, rows, None)
    return subject._planned_units(request, MiniBatchLimit(items=1000), stage, ENGINE.scorer)


def test_a_row_group_that_makes_a_run_longer_is_warned_of_once(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    mb = 1024 * 1024
    large = FileRows("/in/a b.parquet", (1_000_000,), (400 * mb,))

    assert planned_over(ask(), (large, FileRows("/in/c.parquet", (1000,), (mb,))))

    (message,) = [text for text in caplog.messages if "row group" in text]
    assert "'/in/a b.parquet' has a row group of 400 MB before compression" in message
    assert "With 4 task slots" in message
    assert "row groups of 16 MB or less" in message
    assert "parquet.block.size=16777216" in message
    assert "row_group_size=40000" in message


def test_no_row_group_is_warned_of_where_it_is_not_the_reason(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    assert planned_over(ask(), (FileRows("/in/a.parquet", (1000,), (1000,)),))

    assert "row group" not in caplog.text
