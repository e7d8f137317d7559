from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sparkscore.config import Deployment
from sparkscore.errors import ConfigError, RunNotFoundError
from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import ABORT, COMPLETE, FAIL, HELD, RUNNING, RecordedOutput, new_record
from sparkscore.record.runs_folder import RunFolder
from sparkscore.run.state import RunState, locked_run
from sparkscore.sinks.stage import staged_in
from sparkscore.sinks.target import Target
from sparkscore.stage.lock import RunLock

STATES = (RUNNING, COMPLETE, FAIL, HELD, ABORT)


def state_of(runs: Path, state: str | None, *, has_columns: bool = False, has_manifest: bool = False) -> RunState:
    folder = RunFolder(runs, "night")
    folder.create()
    config = Deployment.model_validate({"output": {"location": str(runs / "out"), "format": "parquet"}}).effective()
    record = new_record("night", None, config).noting(state=state or RUNNING, identity="id")
    output = RecordedOutput(format="parquet", location=str(runs / "out"), columns={"x": "int"} if has_columns else None)
    record = record.noting(output=output)
    folder.write_record(record)
    if has_manifest:
        folder.write_manifest(Manifest((), (), {"x": "int"}, {}, record))
    return RunState(folder, RunLock(folder.lock_file, "night"), record if state else None)


@pytest.mark.parametrize("state", [*STATES, None])
def test_the_record_says_how_far_a_run_is(tmp_path: Path, state: str | None) -> None:
    found = state_of(tmp_path, state)

    assert (found.is_complete, found.is_held, found.is_dead) == (state == COMPLETE, state == HELD, state == RUNNING)
    assert not found.may_be_published


@pytest.mark.parametrize("state", STATES)
def test_a_run_that_began_to_publish_and_did_not_end_may_be_published(tmp_path: Path, state: str) -> None:
    found = state_of(tmp_path, state, has_columns=True, has_manifest=True)

    assert found.may_be_published == (state in {RUNNING, FAIL, ABORT})
    assert not state_of(tmp_path / "x", state, has_columns=True).may_be_published


@pytest.mark.parametrize("state", [RUNNING, FAIL, HELD])
def test_what_is_scored_waits_in_its_stage(tmp_path: Path, state: str) -> None:
    found = state_of(tmp_path, state, has_manifest=True)
    with staged_in(Target(tmp_path / "out", "append", (), "night", "run_id"), None, "id", is_moved=False) as stage:
        stage.is_kept = True

    waiting = found.waiting()

    assert (waiting.stage.location, waiting.identity) == (stage.location, "id")
    assert waiting.target.path == tmp_path / "out"
    assert waiting.deployment.output.format == "parquet"


@pytest.mark.parametrize(
    ("state", "more"),
    [(None, {}), (COMPLETE, {"has_manifest": True}), (FAIL, {}), (HELD, {"has_manifest": True})],
    ids=["no record", "complete", "no manifest", "no stage"],
)
def test_a_run_with_nothing_to_publish_is_refused_with_its_state(
    tmp_path: Path, state: str | None, more: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=rf"\[RUN_NOT_HELD\].*state {state or ''}"):
        state_of(tmp_path, state, **more).waiting()


def test_a_run_is_locked_while_its_state_is_known(tmp_path: Path) -> None:
    state_of(tmp_path, FAIL)

    with locked_run(tmp_path, "night") as state:
        assert state.record is not None
        with pytest.raises(ConfigError, match="RUN_ID_RUNNING"), locked_run(tmp_path, "night"):
            pass
    with locked_run(tmp_path, "night"):
        pass


def test_a_run_that_is_not_there_is_not_locked(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError), locked_run(tmp_path, "never"):
        pass

    assert list(tmp_path.iterdir()) == []
