from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pytest
from deltalake.exceptions import CommitFailedError
from pyspark.sql.types import DoubleType, LongType, StringType, StructField, StructType, VarcharType

from sparkscore.sinks import delta_commit
from sparkscore.sinks.delta import DeltaSink
from sparkscore.sinks.delta_commit import (
    Commit,
    app_id_of,
    is_plain_table,
    unlink_uncommitted,
    why_not_commit,
)
from sparkscore.sinks.delta_links import link_files, note_links
from sparkscore.sinks.delta_open import CannotCommitError
from sparkscore.sinks.stage import Stage, staged_in
from sparkscore.sinks.target import StagedResult, Target
from sparkscore.stage.layout import LINKED
from sparkscore.stage.writer import StageWriter

ROWS = pa.table({"id": pa.array([1, 2, 2**53 + 1]), "label": pa.array(["a", None, "b"])})
SCHEMA = StructType([StructField("id", LongType()), StructField("label", StringType(), nullable=False)])


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path / "out", "append", (), "night", "run_id")


@pytest.fixture
def stage(target: Target) -> Iterator[Stage]:
    with staged_in(target, None, "identity", is_moved=False) as stage:
        yield stage


def commit_of(target: Target, stage: Stage, rows: pa.Table = ROWS, schema: StructType = SCHEMA) -> Commit:
    with StageWriter(str(stage.path), 0) as writer:
        writer.write(rows)
        return Commit(target, StagedResult(stage, writer.finish(), schema, {"model_name": "m"}))


def rows_in(target: Target) -> list[dict[str, Any]]:
    return list(deltalake.DeltaTable(str(target.path)).to_pyarrow_table().sort_by("id").to_pylist())


def parquet_in(target: Target) -> set[str]:
    return {path.name for path in target.path.glob("*.parquet")}


def other_commit(target: Target) -> None:
    deltalake.write_deltalake(str(target.path), ROWS, mode="append")


def test_a_commit_makes_the_table_with_the_staged_files(target: Target, stage: Stage) -> None:
    commit = commit_of(target, stage)

    version = commit.make()

    table = deltalake.DeltaTable(str(target.path))
    last = table.history(1)[0]
    (staged,) = (stage.path / file.path for file in commit.files)
    (linked,) = target.path.glob("*.parquet")
    assert (version, rows_in(target)) == (0, ROWS.to_pylist())
    assert staged.samefile(linked)
    assert table.transaction_version("sparkscore:night:predictions") == 1
    assert json.loads(last["userMetadata"]) == {"run_id": "night", "model_name": "m"}
    assert last["operationMetrics"] == {
        "numFiles": "1",
        "numOutputRows": "3",
        "numOutputBytes": str(linked.stat().st_size),
    }
    assert [field.nullable for field in table.schema().fields] == [True, True]
    assert not list(stage.path.glob(f"{LINKED}*"))


def test_a_commit_adds_to_a_table_and_changes_nothing_else(target: Target, stage: Stage) -> None:
    other_commit(target)
    before = deltalake.DeltaTable(str(target.path)).metadata()

    assert commit_of(target, stage).make() == 1

    actions = [json.loads(line) for line in (target.path / "_delta_log" / f"{1:020}.json").read_text().splitlines()]
    assert sorted(name for action in actions for name in action) == ["add", "commitInfo", "txn"]
    assert len(rows_in(target)) == 6
    assert deltalake.DeltaTable(str(target.path)).metadata().id == before.id


def test_a_second_commit_of_a_run_is_not_made(target: Target, stage: Stage) -> None:
    commit = commit_of(target, stage)
    commit.make()
    other_commit(target)

    assert commit.make() is None
    assert deltalake.DeltaTable(str(target.path)).version() == 1


@pytest.mark.parametrize("is_first", [True, False])
def test_a_commit_of_another_process_in_between_is_noticed(
    target: Target, stage: Stage, monkeypatch: pytest.MonkeyPatch, *, is_first: bool
) -> None:
    if not is_first:
        other_commit(target)

    def then_another(*arguments: Any) -> Any:
        linked = link_files(*arguments)
        other_commit(target)
        return linked

    monkeypatch.setattr(delta_commit, "link_files", then_another)
    commit = commit_of(target, stage)

    with pytest.raises(CannotCommitError) as caught:
        commit.make()
    monkeypatch.undo()

    assert caught.value.is_conflict
    assert len(rows_in(target)) == (3 if is_first else 6)
    assert commit.make() == (1 if is_first else 2)


def test_an_error_after_the_commit_landed_is_no_failure(
    target: Target, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Commit._write

    def loses_the_answer(*arguments: Any) -> None:
        write(*arguments)
        raise CommitFailedError("no answer")

    monkeypatch.setattr(Commit, "_write", loses_the_answer)

    assert commit_of(target, stage).make() == 0
    assert rows_in(target) == ROWS.to_pylist()


def test_an_error_before_the_commit_leaves_the_table(
    target: Target, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise CommitFailedError("the log cannot be written\nmore")

    other_commit(target)
    monkeypatch.setattr(Commit, "_write", fails)

    with pytest.raises(CannotCommitError) as caught:
        commit_of(target, stage).make()

    assert (caught.value.reason, caught.value.is_conflict) == ("delta-rs: the log cannot be written", False)
    assert len(rows_in(target)) == 3


def test_a_commit_that_is_another_than_asked_for_is_tried_again(
    target: Target, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that another process has replaced, on a file system whose renames do not refuse."""
    monkeypatch.setattr(Commit, "_write", lambda *_: other_commit(target))

    with pytest.raises(CannotCommitError) as caught:
        commit_of(target, stage).make()

    assert caught.value.is_conflict


def test_a_repeated_commit_finds_its_links(target: Target, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    commit = commit_of(target, stage)
    monkeypatch.setattr(Commit, "_write", dies)
    with pytest.raises(KeyboardInterrupt):
        commit.make()
    monkeypatch.undo()
    linked = parquet_in(target)

    # The run that is repeated takes no link for a file of somebody else.
    assert DeltaSink(None, target)._foreign() == []  # type: ignore[arg-type]
    assert commit.make() == 0
    assert parquet_in(target) == linked
    assert rows_in(target) == ROWS.to_pylist()


def test_another_file_at_the_name_of_a_link_is_not_taken(target: Target, stage: Stage) -> None:
    commit = commit_of(target, stage)
    target.path.joinpath(Path(commit.files[0].path).name).write_bytes(b"theirs")

    with pytest.raises(CannotCommitError, match="cannot be linked"):
        commit.make()
    unlink_uncommitted(stage.path)

    assert [path.read_bytes() for path in target.path.glob("*.parquet")] == [b"theirs"]


def test_a_file_of_another_size_is_not_committed(target: Target, stage: Stage) -> None:
    commit = commit_of(target, stage)
    with (stage.path / commit.files[0].path).open("ab") as file:
        file.write(b"more")

    with pytest.raises(CannotCommitError, match="bytes"):
        commit.make()
    unlink_uncommitted(stage.path)
    assert not (target.path / "_delta_log").exists()


def test_a_staged_file_that_vanished_is_not_committed(target: Target, stage: Stage) -> None:
    commit = commit_of(target, stage)
    (stage.path / commit.files[0].path).unlink()

    with pytest.raises(CannotCommitError, match="cannot be linked into the table: No such file") as caught:
        commit.make()
    unlink_uncommitted(stage.path)

    assert not caught.value.is_conflict
    assert not (target.path / "_delta_log").exists()


def test_a_link_that_vanished_before_its_footer_is_read_is_not_committed(
    target: Target, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def then_gone(*arguments: Any) -> Any:
        linked = link_files(*arguments)
        target.path.joinpath(Path(commit.files[0].path).name).unlink()
        return linked

    other_commit(target)
    commit = commit_of(target, stage)
    monkeypatch.setattr(delta_commit, "link_files", then_gone)

    with pytest.raises(CannotCommitError, match="a staged file cannot be read: ") as caught:
        commit.make()
    monkeypatch.undo()

    assert not caught.value.is_conflict
    assert deltalake.DeltaTable(str(target.path)).version() == 0
    assert not (target.path / "_delta_log" / f"{1:020}.json").exists()
    # The staged file is still there, so that the next try makes the link again.
    assert commit.make() == 1
    assert len(rows_in(target)) == 6


def test_a_file_with_other_types_is_not_committed(target: Target, stage: Stage) -> None:
    rows = ROWS.set_column(0, "id", pa.array([1, 2, 3], pa.int32()))

    with pytest.raises(CannotCommitError, match="other types than the table in columns 'id'"):
        commit_of(target, stage, rows).make()
    with pytest.raises(CannotCommitError, match="other types than the table in columns 'label'"):
        commit_of(target, stage, ROWS.drop_columns("label")).make()


def test_links_that_no_commit_names_are_removed_with_the_stage(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Commit, "_write", lambda *_: other_commit(target))

    with staged_in(target, None, "identity", is_moved=False) as stage, pytest.raises(CannotCommitError):
        commit_of(target, stage).make()
    names = {Path(uri).name for uri in deltalake.DeltaTable(str(target.path)).file_uris()}

    assert parquet_in(target) == names
    assert not (target.path / "_sparkscore").exists()


def test_links_of_a_commit_that_landed_are_kept(target: Target, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that died just after the commit has not removed its note."""
    commit = commit_of(target, stage)
    monkeypatch.setattr(delta_commit, "forget_links", lambda *_: None)
    commit.make()

    unlink_uncommitted(stage.path)

    assert rows_in(target) == ROWS.to_pylist()


def test_links_are_kept_where_it_is_not_known_whether_they_were_committed(
    target: Target, stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    commit = commit_of(target, stage)
    monkeypatch.setattr(delta_commit, "forget_links", lambda *_: None)
    commit.make()
    log = target.path / "_delta_log" / f"{0:020}.json"
    log.write_text("{")

    unlink_uncommitted(stage.path)

    assert len(parquet_in(target)) == 1
    assert "still linked into a Delta table" in caplog.text


def test_only_links_of_this_stage_are_removed(target: Target, stage: Stage) -> None:
    commit = commit_of(target, stage)
    target.path.joinpath("part-00000-theirs.parquet").write_bytes(b"theirs")
    note_links(stage.path, "predictions", target.path, app_id_of(target), commit.files)
    link_files(stage.path, target.path, commit.files)

    unlink_uncommitted(stage.path)

    assert parquet_in(target) == {"part-00000-theirs.parquet"}
    assert all((stage.path / file.path).exists() for file in commit.files)


def test_links_are_new_so_that_vacuum_keeps_them(target: Target, stage: Stage) -> None:
    commit = commit_of(target, stage)
    os.utime(stage.path / commit.files[0].path, (0, 0))

    commit.make()

    (linked,) = target.path.glob("*.parquet")
    assert linked.stat().st_mtime > 1_700_000_000


def test_partitions_are_in_the_log_as_texts(target: Target, stage: Stage) -> None:
    parted = replace(target, partition_by=("label", "id"))
    rows = ROWS.append_column("x", pa.array([0.5, 1.5, 2.5])).set_column(
        1, "label", pa.array(["a/b=c % é", None, "007"])
    )
    schema = StructType([*SCHEMA, StructField("x", DoubleType())])
    with StageWriter(str(stage.path), 0, partition_by=parted.partition_by) as writer:
        writer.write(rows)
        staged = StagedResult(stage, writer.finish(), schema, {})

    assert Commit(parted, staged).make() == 0

    lines = (target.path / "_delta_log" / f"{0:020}.json").read_text(encoding="utf-8").splitlines()
    adds = [action["add"] for line in lines if "add" in (action := json.loads(line))]
    assert [add["partitionValues"] for add in adds] == [
        {"label": "a/b=c % é", "id": "1"},
        {"label": None, "id": "2"},
        {"label": "007", "id": str(2**53 + 1)},
    ]
    assert adds[0]["path"].startswith("label=a%252Fb%253Dc%20%2525%20%C3%A9/id=1/part-")
    assert rows_in(target) == rows.to_pylist()


def test_other_partitions_and_files_without_folders_are_not_committed(target: Target, stage: Stage) -> None:
    commit = commit_of(target, stage)
    with pytest.raises(CannotCommitError, match="not in the folders of its partition"):
        replace(commit, target=replace(target, partition_by=("label",))).make()
    unlink_uncommitted(stage.path)
    commit.make()

    assert why_not_commit(replace(target, partition_by=("label",)), SCHEMA) == "the table has other partition columns"


def test_links_in_folders_of_partitions_are_removed_with_the_folders(target: Target, stage: Stage) -> None:
    with StageWriter(str(stage.path), 0, partition_by=("label", "id")) as writer:
        writer.write(ROWS.append_column("x", pa.array([1, 2, 3])))
        files = writer.finish()
    note_links(stage.path, "predictions", target.path, app_id_of(target), files)
    link_files(stage.path, target.path, files)
    (target.path / "label=a" / "theirs").touch()

    unlink_uncommitted(stage.path)

    assert sorted(path.name for path in target.path.iterdir()) == ["_sparkscore", "label=a"], "the log had no commit"
    assert [path.name for path in (target.path / "label=a").iterdir()] == ["theirs"]


def test_every_tenth_commit_makes_a_checkpoint(target: Target, stage: Stage) -> None:
    for _ in range(10):
        other_commit(target)

    assert commit_of(target, stage).make() == 10

    assert (target.path / "_delta_log" / f"{10:020}.checkpoint.parquet").exists()
    for version in range(10):
        (target.path / "_delta_log" / f"{version:020}.json").unlink()
    assert len(rows_in(target)) == 33
    assert deltalake.DeltaTable(str(target.path)).transaction_version("sparkscore:night:predictions") == 1


def test_a_checkpoint_that_cannot_be_written_is_no_failure(
    target: Target, stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    for _ in range(10):
        other_commit(target)
    monkeypatch.setattr(deltalake.DeltaTable, "create_checkpoint", fails)

    assert commit_of(target, stage).make() == 10
    assert "no checkpoint" in caplog.text


def test_a_table_that_changed_is_left_to_spark(target: Target, stage: Stage) -> None:
    commit = commit_of(target, stage)
    assert why_not_commit(target, SCHEMA) is None
    other_commit(target)
    deltalake.DeltaTable(str(target.path)).alter.add_constraint({"positive": "id > 0"})

    with pytest.raises(CannotCommitError, match="features 'checkConstraints'"):
        commit.make()
    assert "checkConstraints" in str(why_not_commit(target, SCHEMA))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"writer": "spark"}, "output.writer is spark"),
        ({"path": Path("/nowhere/100%")}, "delta-rs cannot open the table's path"),
        ({"path": Path("/nowhere/a\\b")}, "delta-rs cannot open the table's path"),
        ({"path": Path("/nowhere/\udcff")}, "delta-rs cannot open the table's path"),
    ],
)
def test_what_spark_must_write(tmp_path: Path, changed: dict[str, Any], reason: str) -> None:
    given: dict[str, Any] = {
        "path": tmp_path,
        "mode": "append",
        "partition_by": (),
        "run_id": "a",
        "run_id_column": "b",
    }

    assert why_not_commit(Target(**{**given, **changed}), SCHEMA) == reason


def test_spark_replaces_rows_but_a_new_table_replaces_none(target: Target) -> None:
    replacing = Target(target.path, "overwrite", (), "night", "run_id")
    assert why_not_commit(replacing, SCHEMA) is None
    other_commit(target)

    assert why_not_commit(replacing, SCHEMA) == "mode overwrite replaces rows"


def test_a_table_that_delta_rs_cannot_open_is_left_to_spark(target: Target) -> None:
    other_commit(target)
    (target.path / "_delta_log" / f"{0:020}.json").write_text("{")

    assert "delta-rs cannot open the table" in str(why_not_commit(target, SCHEMA))


def test_columns_that_delta_rs_may_not_create_are_left_to_spark(target: Target) -> None:
    assert why_not_commit(target, StructType([StructField("x", VarcharType(3))])) == (
        "column 'x' has the type varchar(3)"
    )


def test_a_plain_table_with_the_same_columns_needs_no_other_check(target: Target) -> None:
    assert not is_plain_table(target, SCHEMA), "there is no table"
    other_commit(target)
    in_another_order = StructType(list(reversed(SCHEMA.fields)))
    other_type = StructType([StructField("id", StringType()), StructField("label", StringType())])

    assert is_plain_table(target, SCHEMA)
    assert is_plain_table(target, in_another_order)
    assert not is_plain_table(target, other_type)
    assert not is_plain_table(target, StructType(SCHEMA.fields[:1]))
    assert not is_plain_table(replace(target, writer="spark"), SCHEMA)
    assert not is_plain_table(replace(target, partition_by=("label",)), SCHEMA)


def test_a_table_with_rules_needs_other_checks(target: Target) -> None:
    deltalake.write_deltalake(str(target.path), ROWS, configuration={"delta.appendOnly": "true"})
    assert is_plain_table(target, SCHEMA)
    assert not is_plain_table(replace(target, mode="overwrite"), SCHEMA)
    deltalake.DeltaTable(str(target.path)).alter.add_constraint({"positive": "id > 0"})

    assert not is_plain_table(target, SCHEMA)


def test_a_table_that_cannot_be_opened_needs_other_checks(target: Target) -> None:
    other_commit(target)
    (target.path / "_delta_log" / f"{0:020}.json").write_text("{")

    assert not is_plain_table(target, SCHEMA)


def test_without_delta_rs_spark_writes(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    assert why_not_commit(target, SCHEMA) == "the package deltalake is not installed"
