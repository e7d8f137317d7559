"""Runs over what failed in another run: each item is scored once for an output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkscore.config import Deployment
from sparkscore.errors import ConfigError, LineageError, RunNotFoundError
from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import COMPLETE, OnlyFailed, RecordedOutput, RecordedQuarantine, RunRecord, new_record
from sparkscore.record.runs_folder import RunFolder
from sparkscore.record.scored_again import ScoredAgain
from sparkscore.run import PreparedRun
from sparkscore.run import scored_again as subject
from sparkscore.run.scored_again import (
    check_still_left,
    family_locked,
    has_nothing_left,
    leave_out_scored,
    note_publishing,
    only_failed_entry,
)
from sparkscore.sources import FailedItems
from sparkscore.stage import StagedFile
from sparkscore.stage.lock import RunLock

Ask = Callable[..., PreparedRun]


@dataclass
class Family:
    """The first run, whose items 'a', 'b' and 'c' failed, and the runs that have scored some of them since."""

    runs: Path
    output: Path
    quarantines: dict[str, Counter[str | None]] = field(default_factory=dict)
    shown: set[str] = field(default_factory=set)

    def record(self, run_id: str, **parts: Any) -> RunRecord:
        folder = RunFolder(self.runs, run_id)
        folder.create()
        output = RecordedOutput(format="parquet", location=str(self.output), mode="append")
        quarantine = RecordedQuarantine(location=f"{self.output}_quarantine", rows=1)
        record = new_record(run_id, None, {}).noting(state=COMPLETE, output=output, quarantine=quarantine, **parts)
        folder.write_record(record)
        return record

    def publish(self, run_id: str, items: int, quarantined: int = 0, origin: str = "first") -> None:
        """Note a run over failed items, as a run does before it publishes; readers see its rows."""
        first = RunFolder(self.runs, "first")
        entry = ScoredAgain(
            run_id=run_id,
            origin=origin,
            items=items,
            quarantined=quarantined,
            quarantine=f"{self.output}_quarantine",
            format="parquet",
            output=str(self.output),
            run_id_column="run_id",
        )
        first.write_scored_again([*first.read_scored_again(), entry])
        self.record(run_id, only_failed=OnlyFailed(run_id=origin, first="first"))
        self.shown.add(run_id)


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    made = Family(tmp_path / "runs", tmp_path / "out", {"first": Counter({"a": 1, "b": 1, "c": 1})})
    made.record("first")
    monkeypatch.setattr(subject, "items_of", lambda _, failed: Counter(made.quarantines[failed.run_id]))
    monkeypatch.setattr(subject, "_shows_rows", lambda _, entry: entry.run_id in made.shown)
    return made


@pytest.fixture
def over_failed(family: Family, ask: Ask) -> Callable[..., PreparedRun]:
    """Prepare a run over the failed items of a run, without Spark."""

    def prepared(run_id: str = "next", failed: str = "first", mode: str = "append") -> PreparedRun:
        made = ask(run_id, output__location=str(family.output), output__mode=mode)
        items = FailedItems(failed, f"{family.output}_quarantine", "parquet", None, "first")
        return replace(made, failed=items)

    return prepared


def left_of(prepared: PreparedRun) -> list[str | None]:
    assert prepared.failed is not None
    assert prepared.failed.left is not None
    return sorted(prepared.failed.left.elements(), key=str)


SPARK: Any = None


def test_a_run_over_a_whole_input_leaves_nothing_out(ask: Ask) -> None:
    prepared = ask()

    assert leave_out_scored(SPARK, prepared) is prepared
    assert not has_nothing_left(prepared)
    assert only_failed_entry(None, 3) is None


def test_where_nothing_was_scored_since_all_failed_items_are_left(over_failed: Callable[..., PreparedRun]) -> None:
    prepared = over_failed()

    assert leave_out_scored(SPARK, prepared) is prepared


def test_what_a_later_run_has_published_is_left_out_and_what_failed_again_is_back(
    family: Family, over_failed: Callable[..., PreparedRun]
) -> None:
    family.quarantines["second"] = Counter({"c": 1})
    family.publish("second", items=3, quarantined=1)

    prepared = leave_out_scored(SPARK, over_failed())

    assert left_of(prepared) == ["c"]
    described = only_failed_entry(prepared.failed, 1)
    assert described is not None
    assert (described.run_id, described.first, described.without, described.items) == ("first", "first", ["second"], 1)
    assert not has_nothing_left(prepared)


def test_once_all_are_scored_nothing_is_left(family: Family, over_failed: Callable[..., PreparedRun]) -> None:
    family.publish("second", items=3)

    assert has_nothing_left(leave_out_scored(SPARK, over_failed()))


def test_a_run_over_what_failed_in_the_second_run_takes_only_that(
    family: Family, over_failed: Callable[..., PreparedRun]
) -> None:
    family.quarantines["second"] = Counter({"b": 1, "c": 1})
    family.publish("second", items=3, quarantined=2)
    family.quarantines["third"] = Counter({"c": 1})
    family.publish("third", items=2, quarantined=1, origin="second")

    assert left_of(leave_out_scored(SPARK, over_failed(failed="second"))) == ["c"]


def test_rows_that_no_reader_sees_were_not_published(family: Family, over_failed: Callable[..., PreparedRun]) -> None:
    family.publish("second", items=3)
    family.shown.clear()

    prepared = over_failed()

    assert leave_out_scored(SPARK, prepared) is prepared


def test_who_overwrites_the_output_scores_all_again(family: Family, over_failed: Callable[..., PreparedRun]) -> None:
    family.publish("second", items=3)

    prepared = over_failed(mode="overwrite")

    assert leave_out_scored(SPARK, prepared) is prepared


def test_what_came_after_a_published_run_does_not_change_what_it_was_over(
    family: Family, over_failed: Callable[..., PreparedRun]
) -> None:
    family.publish("next", items=3)
    family.publish("later", items=0)

    prepared = over_failed("next")

    assert leave_out_scored(SPARK, prepared) is prepared


def test_quarantines_that_do_not_say_what_was_scored_are_refused(
    family: Family, over_failed: Callable[..., PreparedRun]
) -> None:
    family.publish("second", items=2)

    with pytest.raises(LineageError, match=r"\[ONLY_FAILED_UNKNOWN\].*'second'"):
        leave_out_scored(SPARK, over_failed())


# ------------------------------------------------------------------------------------------------------------ the lock


def test_a_run_over_a_whole_input_needs_no_lock_of_another(tmp_path: Path) -> None:
    with family_locked(tmp_path / "runs", None):
        pass

    assert not (tmp_path / "runs").exists()


def test_one_run_of_a_family_works_at_a_time(family: Family) -> None:
    running = pytest.raises(ConfigError, match=r"\[ONLY_FAILED_RUNNING\].*'first'")

    with family_locked(family.runs, "first"), running, family_locked(family.runs, "first"):
        pass

    with RunLock(RunFolder(family.runs, "first").lock_file, "first"):
        pass


def test_without_the_record_of_the_first_run_nothing_is_known(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError), family_locked(tmp_path / "runs", "first"):
        pass


# ------------------------------------------------------------------------------------------------------------ the note


def deployment_of(family: Family) -> Deployment:
    return Deployment.model_validate({"output": {"location": str(family.output), "format": "parquet"}})


def test_a_run_notes_itself_once_before_it_publishes(family: Family) -> None:
    record = family.record("second", only_failed=OnlyFailed(run_id="first", first="first", items=3))
    manifest = Manifest((), (StagedFile("q", 2, 10),), {}, {}, record)

    for _ in range(2):
        note_publishing(family.runs, record, deployment_of(family), manifest)

    (entry,) = RunFolder(family.runs, "first").read_scored_again()
    assert (entry.run_id, entry.origin, entry.items, entry.quarantined) == ("second", "first", 3, 2)
    assert (entry.output, entry.quarantine) == (str(family.output), f"{family.output}_quarantine")


def test_a_run_over_a_whole_input_notes_nothing(family: Family) -> None:
    record = family.record("whole")

    note_publishing(family.runs, record, deployment_of(family), Manifest((), (), {}, {}, record))
    check_still_left(SPARK, family.runs, record)

    assert RunFolder(family.runs, "first").read_scored_again() == []


def test_a_held_run_whose_items_were_scored_meanwhile_is_not_published(family: Family) -> None:
    held = family.record("held", only_failed=OnlyFailed(run_id="first", first="first"))
    check_still_left(SPARK, family.runs, held)
    family.publish("second", items=3)

    with pytest.raises(ConfigError, match=r"\[ONLY_FAILED_OUTDATED\].*'second'") as caught:
        check_still_left(SPARK, family.runs, held)

    assert "'sparkscore publish held --discard'" in caught.value.next_step
    overwriting = held.noting(output=held.output.model_copy(update={"mode": "overwrite"}))
    check_still_left(SPARK, family.runs, overwriting)


def test_the_table_says_whether_readers_see_the_rows_of_a_run(tmp_path: Path) -> None:
    entry = ScoredAgain("second", "first", 1, 0, "q", "parquet", str(tmp_path / "out"), "run_id")

    assert not subject._shows_rows(SPARK, entry)
    shown = tmp_path / "out" / "run_id=second"
    shown.mkdir(parents=True)
    pq.write_table(pa.table({"x": [1]}), shown / "part-00000-empty.parquet")
    assert subject._shows_rows(SPARK, entry)
