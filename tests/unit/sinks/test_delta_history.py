from __future__ import annotations

import json
from pathlib import Path

import deltalake
import pyarrow as pa
import pytest

from sparkscore.sinks import delta_history as subject
from sparkscore.sinks.delta_history import has_run_in_history, run_of
from sparkscore.sinks.target import Target

ROWS = pa.table({"x": [1]})


def target(path: Path, run_id: str) -> Target:
    return Target(path, "append", (), run_id, "run_id")


def write(path: Path, user_metadata: str | None, rows: pa.Table = ROWS) -> None:
    given = None if user_metadata is None else {"userMetadata": user_metadata}
    properties = deltalake.CommitProperties(custom_metadata=given)
    deltalake.write_deltalake(str(path), rows, mode="append", commit_properties=properties)


def test_a_run_is_found_among_the_commits_of_others(tmp_path: Path) -> None:
    for text in (json.dumps({"run_id": "monday", "model_name": None}), None, "tuesday", '["tuesday"]', "7"):
        write(tmp_path / "table", text)

    assert has_run_in_history(target(tmp_path / "table", "monday"))
    assert has_run_in_history(target(tmp_path / "table", "tuesday")) is False


def test_it_is_found_in_the_log_also_after_a_checkpoint(tmp_path: Path) -> None:
    write(tmp_path / "table", json.dumps({"run_id": "monday"}))
    for _ in range(3):
        write(tmp_path / "table", None)
    deltalake.DeltaTable(tmp_path / "table").create_checkpoint()

    assert has_run_in_history(target(tmp_path / "table", "monday"))


def test_where_there_is_no_table_there_is_no_run(tmp_path: Path) -> None:
    assert has_run_in_history(target(tmp_path / "none", "monday")) is False


@pytest.mark.parametrize("case", ["a torn log", "no deltalake", "a path that delta-rs cannot open"])
def test_what_delta_rs_cannot_read_is_left_to_spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    path = tmp_path / ("50%" if case.startswith("a path") else "table")
    if case == "a torn log":
        (path / "_delta_log").mkdir(parents=True)
        (path / "_delta_log" / f"{0:020}.json").write_text('{"metaData": ')
    elif case == "no deltalake":
        monkeypatch.setattr(subject, "why_no_delta_rs", lambda _: "the package deltalake is not installed")

    assert has_run_in_history(target(path, "monday")) is None


@pytest.mark.parametrize(
    ("text", "run_id"), [('{"run_id": "a"}', "a"), (None, None), ("", None), ("{", None), ("[1]", None), ("{}", None)]
)
def test_the_run_is_in_the_metadata_of_the_commit(text: str | None, run_id: str | None) -> None:
    assert run_of(text) == run_id
