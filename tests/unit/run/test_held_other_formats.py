"""What another version of sparkscore has staged, noted or recorded is published, or refused by name; never misread."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkscore.config import Deployment
from sparkscore.errors import LineageError
from sparkscore.record.listing import read_record
from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import HELD, RecordedOutput, new_record
from sparkscore.record.runs_folder import RunFolder
from sparkscore.run import discard, publish
from sparkscore.run.recorded_deployment import deployment_of
from sparkscore.sinks.cleaning import Removed, clean_stages
from sparkscore.sinks.stage import remove_stage, staged_in
from sparkscore.sinks.target import Target
from sparkscore.stage.layout import MARKER, PLAN
from sparkscore.stage.plan_file import PLAN_SCHEMA, is_plan_of

COLUMNS = {"prediction": "double"}
NO_SPARK: Any = SimpleNamespace()


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path / "out", "append", (), "night", "run_id")


@pytest.fixture
def stage(tmp_path: Path, target: Target) -> Path:
    """The stage of a run that is held."""
    folder = RunFolder(tmp_path / "runs", "night")
    folder.create()
    with staged_in(target, None, "id", is_moved=False, run_folder=folder.path) as opened:
        opened.is_kept = True
    config = Deployment.model_validate({"output": {"location": str(target.path), "format": "parquet"}})
    output = RecordedOutput(format="parquet", location=str(target.path), mode="append", columns=COLUMNS)
    record = new_record("night", "d.yml", config.effective()).noting(
        state=HELD, identity="id", output=output, stage=str(opened.path)
    )
    folder.write_record(record)
    folder.write_manifest(Manifest((), (), COLUMNS, {}, record))
    return opened.path


def change(file: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def files_below(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "run.log"}


def test_a_new_stage_carries_the_number_of_its_format(stage: Path) -> None:
    assert (stage / MARKER).read_text() == "1"


@pytest.mark.parametrize("number", ["2", "0", " 17\n", "later"])
@pytest.mark.parametrize("ask", [discard, lambda run_id: publish(NO_SPARK, run_id)])
def test_a_held_run_whose_stage_has_another_format_is_refused_by_name_and_stays(
    stage: Path, ask: Callable[[str], object], number: str, tmp_path: Path
) -> None:
    (stage / MARKER).write_text(number)
    (stage / "a-file-of-another-version").write_text("x")
    before = files_below(tmp_path)

    with pytest.raises(LineageError, match=r"\[OTHER_FORMAT\] the stage '.*/night' of run 'night'") as caught:
        ask("night")

    assert caught.value.got == f"format {number.strip()}"
    assert "sparkscore runs show night --json" in caught.value.next_step
    assert files_below(tmp_path) == before
    assert read_record(tmp_path / "runs", "night").state == HELD


def test_a_stage_of_another_format_is_not_taken_up_nor_removed(
    stage: Path, target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    (stage / MARKER).write_text("2")
    before = files_below(stage)

    with (
        pytest.raises(LineageError, match=r"\[OTHER_FORMAT\]"),
        staged_in(target, None, "id", is_moved=False),
    ):
        pytest.fail("the run began")
    assert clean_stages(stage.parent, is_dry=True) == clean_stages(stage.parent) == []
    remove_stage(target, None)

    assert files_below(stage) == before
    assert "it has format 2, and this version of sparkscore reads format 1" in caplog.text


def test_a_plan_of_another_format_stays_though_nothing_is_scored_yet(tmp_path: Path, target: Target) -> None:
    rows = pa.Table.from_pylist([{"unit": 0, "mini_batch": "0", "path": "/in/a"}], schema=PLAN_SCHEMA)
    with staged_in(target, None, "id", is_moved=False) as opened:
        opened.is_kept = True
        plan = opened.path / PLAN
        pq.write_table(rows.replace_schema_metadata({"sparkscore.format": "2"}), plan)
    before = files_below(tmp_path)

    with (
        pytest.raises(LineageError, match=r"\[OTHER_FORMAT\] the plan '.*' of run 'night'.*nothing was removed"),
        staged_in(target, None, "id", is_moved=False),
    ):
        is_plan_of(str(plan), rows)

    assert files_below(tmp_path) == before


def test_a_stage_without_a_number_is_of_the_first_format(stage: Path, target: Target) -> None:
    (stage / MARKER).write_text("")

    with staged_in(target, None, "id", is_moved=False) as opened:
        opened.is_kept = True

    assert opened.is_taken_up
    (stage / "run").unlink(missing_ok=True)
    assert clean_stages(stage.parent) == [Removed(stage, 2)]


def test_a_stage_of_the_time_before_stages_had_a_mark_is_refused_by_that_name(stage: Path) -> None:
    (stage / MARKER).unlink()

    for ask in (discard, lambda run_id: publish(NO_SPARK, run_id)):
        with pytest.raises(LineageError, match=rf"\[OTHER_FORMAT\].*got format unknown, without '{MARKER}'"):
            ask("night")

    assert (stage / "identity").exists()


def test_a_manifest_of_another_format_is_not_published_and_its_run_can_be_discarded(
    stage: Path, tmp_path: Path
) -> None:
    change(tmp_path / "runs" / "night" / "manifest.json", lambda content: content.update(format=2))

    with pytest.raises(LineageError, match=r"\[OTHER_FORMAT\] the manifest '.*' of run 'night'.*got format 2"):
        publish(NO_SPARK, "night")

    assert stage.is_dir()
    assert discard("night")["state"] == "ABORT"
    assert not stage.exists()


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        ("output", {"location": "out", "format": "iceberg"}, "'output.format'"),
        ("output", {"location": "out", "chunks": 3}, "'output.chunks'"),
        ("output", {}, "no output"),
        ("router", {"by": "country"}, "'router'"),
    ],
)
def test_a_configuration_that_this_version_does_not_take_is_named(
    stage: Path, tmp_path: Path, place: str, value: object, named: str
) -> None:
    change(
        tmp_path / "runs" / "night" / "record.json",
        lambda content: content.update(
            config=content["config"] | {place: value}, versions={"sparkscore": "9.1"}, later={"kept": 1}
        ),
    )

    for ask in (discard, lambda run_id: publish(NO_SPARK, run_id)):
        with pytest.raises(LineageError, match=r"\[RECORD_CONFIG\].*run 'night'.*sparkscore 9.1") as caught:
            ask("night")
        assert named in caught.value.got

    assert stage.is_dir()


def test_a_record_of_a_later_version_keeps_what_this_one_does_not_know(stage: Path, tmp_path: Path) -> None:
    file = tmp_path / "runs" / "night" / "record.json"
    change(file, lambda content: content.update(later={"kept": 1}, input=content["input"] | {"later": [2]}))

    record = discard("night")

    assert not stage.exists()
    assert (record["state"], record["later"], record["input"]["later"]) == ("ABORT", {"kept": 1}, [2])
    assert json.loads(file.read_text()) == record


def test_the_deployment_of_a_record_is_what_was_recorded(stage: Path, tmp_path: Path) -> None:
    del stage
    record = read_record(tmp_path / "runs", "night")

    assert deployment_of(record).effective() == record.config
