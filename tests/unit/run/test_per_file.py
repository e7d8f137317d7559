from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sparkscore.config import Deployment, load_deployment
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, ErrorThresholdExceededError
from sparkscore.minibatch import MiniBatch, MiniBatchLimit
from sparkscore.outcome import Failure, Outcome
from sparkscore.plan import InputFile, Snapshot
from sparkscore.run.per_file import (
    are_files_whole,
    counted_items,
    mini_batch_limit,
    refuse_count_of_files,
    refuse_other_endings,
)
from sparkscore.run.verdict import decide
from sparkscore.stage.report import MiniBatchReport, ScoredMiniBatch, WorkerState, make_report
from sparkscore.tolerance import Tolerance

AZURE = "https://azuremlschemas.azureedge.net/latest/modelBatchDeployment.schema.json"


def deployment(size: int | str | None = None, **more: Any) -> Deployment:
    settings = {} if size is None else {"settings.mini_batch_size": size}
    return load_deployment(None, {"$schema": AZURE, "model.path": "model", **settings, **more})


def snapshot(kind: str, *files: str) -> Snapshot:
    return Snapshot(kind, "in", 1, 1, 1, tuple(InputFile(file, 1, 1) for file in files))


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
@pytest.mark.parametrize("size", [None, 2, "2", 100])
def test_a_model_of_azures_gets_each_file_whole(kind: str, size: int | str | None) -> None:
    assert are_files_whole(deployment(size), snapshot(kind))
    assert counted_items(deployment(size), snapshot(kind)) == "files"
    assert mini_batch_limit(deployment(size), snapshot(kind)).is_file
    assert deployment(size).effective("files")["settings"]["mini_batch_size"] == (size or 10)  # type: ignore[index]
    refuse_count_of_files(deployment(size), snapshot(kind))


@pytest.mark.parametrize(
    ("size", "kind", "more"),
    [
        ("1MB", "csv", {}),
        (None, "delta", {}),
        (2, "csv", {"code_configuration.scoring_script": "score.py"}),
        (2, "csv", {"$schema": None}),
        (2, "files", {}),
    ],
)
def test_other_inputs_are_cut_as_the_size_says(size: int | str | None, kind: str, more: dict[str, Any]) -> None:
    assert not are_files_whole(deployment(size, **more), snapshot(kind))
    refuse_count_of_files(deployment(size, **more), snapshot(kind))


@pytest.mark.parametrize(
    ("size", "kind", "more", "limit"),
    [
        (20, "files", {}, MiniBatchLimit(items=1)),
        ("1MB", "files", {}, MiniBatchLimit(size_bytes=1024**2)),
        (20, "files", {"$schema": None}, MiniBatchLimit(items=20)),
        (20, "csv", {"$schema": None}, MiniBatchLimit(items=20)),
        (None, "files", {"$schema": None}, MiniBatchLimit(items=10)),
        ("20", "delta", {}, MiniBatchLimit(size_bytes=20)),
        ("1MB", "csv", {}, MiniBatchLimit(size_bytes=1024**2)),
    ],
)
def test_the_size_of_a_mini_batch(
    size: int | str | None, kind: str, more: dict[str, Any], limit: MiniBatchLimit
) -> None:
    assert mini_batch_limit(deployment(size, **more), snapshot(kind)) == limit


def test_a_number_of_files_is_refused_for_a_table() -> None:
    with pytest.raises(ConfigError, match=r"'delta'.*2, which counts files.*mini_batch_size=1MB") as caught:
        refuse_count_of_files(deployment(2), snapshot("delta"))

    assert caught.value.code == "MINI_BATCH_SIZE"
    refuse_count_of_files(deployment("1MB"), snapshot("delta"))
    refuse_count_of_files(deployment(2, **{"$schema": None}), snapshot("delta"))


def test_rows_of_files_that_failed_as_a_whole_are_not_scored_apart() -> None:
    with pytest.raises(ConfigError, match="whole files") as caught:
        refuse_count_of_files(deployment(), snapshot("quarantine"))

    assert caught.value.code == "ONLY_FAILED"


def test_files_that_azure_does_not_take_for_images_are_named() -> None:
    with pytest.raises(ConfigError, match=r"'notes.txt'.*'FOLDER/\*.png'") as caught:
        refuse_other_endings(deployment(), snapshot("files", "/in/a.png", "/in/notes.txt"))

    assert caught.value.code == "INPUT_ENDINGS"
    refuse_other_endings(deployment(), snapshot("files", "/in/a.png", "/in/B.JPG"))
    refuse_other_endings(deployment(**{"input.format": "files"}), snapshot("files", "/in/scan"))
    refuse_other_endings(deployment(**{"$schema": None}), snapshot("files", "/in/scan"))


def report(failed: int) -> MiniBatchReport:
    failure = Failure(ErrorCode.MODEL_PREDICT, "ValueError", "") if failed else None
    outcome = Outcome(items=10, scored=10 - failed, failure=failure)
    scored = ScoredMiniBatch(outcome, (), 1.0, datetime.now(UTC))
    return make_report(0, MiniBatch("0-0", ()), scored, WorkerState("w", 1))


@pytest.mark.parametrize("tolerated", [1, 2, -1])
def test_a_threshold_counts_files_where_each_is_one_call(tolerated: int) -> None:
    reports = [report(0), report(10)]
    tolerance = Tolerance(tolerated, counts_files=True)

    decide(reports, 20, "model 'm'", Tolerance(tolerated, counts_files=True))

    assert not tolerance.is_passed(10, 1)


def test_more_failed_files_than_are_tolerated_end_the_run() -> None:
    reports = [report(0), report(10), report(10)]

    with pytest.raises(ErrorThresholdExceededError, match=r"2 failed files, 'settings.error_threshold' allows 1"):
        decide(reports, 30, "model 'm'", Tolerance(1, counts_files=True))

    assert Tolerance(1, counts_files=True).is_passed(20, 2)


def test_a_limit_of_nothing_is_a_file() -> None:
    assert MiniBatchLimit().is_file
    assert not MiniBatchLimit(items=1).is_file
