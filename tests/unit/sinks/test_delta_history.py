from __future__ import annotations

import json
from pathlib import Path

import deltalake
import pyarrow as pa
import pytest

from sparkscore.sinks import delta_history as subject
from sparkscore.sinks.delta_history import RunCommit, commits_among, commits_of_run, run_of
from sparkscore.sinks.target import Target

ROWS = pa.table({"x": [1]})
MONDAY = json.dumps({"run_id": "monday", "model_name": None})


def target(path: Path, run_id: str) -> Target:
    return Target(path, "append", (), run_id, "run_id")


def write(path: Path, user_metadata: str | None, rows: pa.Table = ROWS) -> None:
    given = None if user_metadata is None else {"userMetadata": user_metadata}
    properties = deltalake.CommitProperties(custom_metadata=given)
    deltalake.write_deltalake(str(path), rows, mode="append", commit_properties=properties)


def test_a_run_is_found_among_the_commits_of_others(tmp_path: Path) -> None:
    for text in ("tuesday", MONDAY, None, '["tuesday"]', "7"):
        write(tmp_path / "table", text)

    found = commits_of_run(target(tmp_path / "table", "monday"))
    assert found is not None
    assert [(commit.version, commit.writer) for commit in found] == [(1, "worker")]
    assert commits_of_run(target(tmp_path / "table", "tuesday")) == []


def test_it_is_found_in_the_log_also_after_a_checkpoint(tmp_path: Path) -> None:
    write(tmp_path / "table", MONDAY)
    for _ in range(3):
        write(tmp_path / "table", None)
    deltalake.DeltaTable(tmp_path / "table").create_checkpoint()

    assert [each.version for each in commits_of_run(target(tmp_path / "table", "monday")) or ()] == [0]


def test_where_there_is_no_table_there_is_no_run(tmp_path: Path) -> None:
    assert commits_of_run(target(tmp_path / "none", "monday")) == []


def test_a_commit_without_information_shifts_no_version(tmp_path: Path) -> None:
    for text in (None, None, MONDAY, None):
        write(tmp_path / "table", text)
    first = tmp_path / "table" / "_delta_log" / f"{1:020}.json"
    first.write_text("".join(line for line in first.read_text().splitlines(keepends=True) if "commitInfo" not in line))

    assert [each.version for each in commits_of_run(target(tmp_path / "table", "monday")) or ()] == [2]


def test_the_history_ends_where_the_log_was_cleaned_up(tmp_path: Path) -> None:
    for text in (MONDAY, None, MONDAY, None):
        write(tmp_path / "table", text)
    deltalake.DeltaTable(tmp_path / "table").create_checkpoint()
    for version in (0, 1):
        (tmp_path / "table" / "_delta_log" / f"{version:020}.json").unlink()

    assert [each.version for each in commits_of_run(target(tmp_path / "table", "monday")) or ()] == [2]


@pytest.mark.parametrize("case", ["a torn log", "no deltalake", "a path that delta-rs cannot open"])
def test_what_delta_rs_cannot_read_is_left_to_spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    path = tmp_path / ("50%" if case.startswith("a path") else "table")
    if case == "a torn log":
        (path / "_delta_log").mkdir(parents=True)
        (path / "_delta_log" / f"{0:020}.json").write_text('{"metaData": ')
    elif case == "no deltalake":
        monkeypatch.setattr(subject, "why_no_delta_rs", lambda _: "the package deltalake is not installed")

    assert commits_of_run(target(path, "monday")) is None


def test_a_commit_tells_its_rows_and_who_wrote_them_if_the_history_does() -> None:
    history = [
        {
            "version": 3,
            "userMetadata": MONDAY,
            "operationMetrics": {"numOutputRows": "7"},
            "engineInfo": "Apache-Spark",
        },
        {"version": 2, "userMetadata": "other", "operationMetrics": {"numOutputRows": "8"}, "engineInfo": None},
        {"version": 1, "userMetadata": MONDAY, "operationMetrics": None, "engineInfo": "delta-rs:py-1.6.6"},
        {"version": 0, "userMetadata": MONDAY},
    ]

    assert commits_among(history, "monday") == [
        RunCommit(3, 7, "spark"),
        RunCommit(1, None, "worker"),
        RunCommit(0, None, "spark"),
    ]


@pytest.mark.parametrize(
    ("text", "run_id"), [('{"run_id": "a"}', "a"), (None, None), ("", None), ("{", None), ("[1]", None), ("{}", None)]
)
def test_the_run_is_in_the_metadata_of_the_commit(text: str | None, run_id: str | None) -> None:
    assert run_of(text) == run_id
