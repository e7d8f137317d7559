from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sparkscore.errors import LineageError, RunNotFoundError
from sparkscore.record import listing as subject
from sparkscore.record.listing import RunInBrief, list_in_brief, list_records, read_record, runs_folder
from sparkscore.record.run_record import RunRecord, new_record
from sparkscore.record.runs_folder import RunFolder


def record_of(run_id: str, **more: Any) -> RunRecord:
    return RunRecord.model_validate(content_of(run_id, **more))


def content_of(run_id: str, **more: Any) -> dict[str, Any]:
    return {**new_record(run_id, None, {}).as_dict(), "started_at": "2026-01-01", **more}


def test_the_folder_of_runs_is_the_named_one_then_the_variable_then_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPARKSCORE_RUNS", raising=False)
    assert runs_folder() == tmp_path / "sparkscore-runs"
    monkeypatch.setenv("SPARKSCORE_RUNS", "by-variable")
    assert runs_folder() == tmp_path / "by-variable"
    assert runs_folder("/named") == Path("/named")


def test_records_are_listed_newest_first_and_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    for run_id, started_at in (("a", "2026-01-01"), ("b", "2026-03-01"), ("c", "2026-02-01")):
        folder = RunFolder(tmp_path, run_id)
        folder.create()
        folder.write_record(record_of(run_id, started_at=started_at))
    for name, text in (("torn", "{"), ("list", "[]"), ("binary", "\x00")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text(text)

    assert [record.run_id for record in list_records(tmp_path)] == ["b", "c", "a"]
    assert list_records(tmp_path / "nowhere") == []
    assert read_record(tmp_path, "a") == record_of("a", started_at="2026-01-01")


def write_content(runs: Path, run_id: str, content: dict[str, Any]) -> None:
    (runs / run_id).mkdir(parents=True)
    (runs / run_id / "record.json").write_text(json.dumps(content))


def test_a_list_in_brief_has_what_the_records_have(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    counts = {**new_record("a", None, {}).counts.as_dict(), "scored": 7, "failed": 2}
    records: dict[str, dict[str, Any]] = {
        "a": {"started_at": "2026-01-01", "counts": counts, "output": {"location": "/out"}, "state": "COMPLETE"},
        "b": {"started_at": "2026-03-01"},
        "of-another-version": {"started_at": "2025-12-31", "counts": counts | {"new": 1}, "output": {"rows": 2}},
    }
    for run_id, more in records.items():
        write_content(tmp_path, run_id, content_of(run_id, **more))
    for name, text in (("torn", "{"), ("list", "[]"), ("of-another", json.dumps(content_of("a")))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text(text)

    found = list_in_brief(tmp_path)

    assert found == [
        RunInBrief("b", "RUNNING", "2026-03-01", 0, 0, None),
        RunInBrief("a", "COMPLETE", "2026-01-01", 7, 2, "/out"),
        RunInBrief("of-another-version", "RUNNING", "2025-12-31", 7, 2, None),
    ]
    assert [each.run_id for each in found] == [record.run_id for record in list_records(tmp_path)]
    assert sum("is skipped" in message for message in caplog.messages) == 6
    assert list_in_brief(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    "damage",
    [
        {"state": 1}, {"state": None}, {"started_at": "yesterday"}, {"started_at": 7}, {"counts": {"scored": "7"}},
        {"counts": {"scored": True}}, {"counts": None}, {"counts": [1]}, {"output": []}, {"output": {"location": 1}},
    ],
)  # fmt: skip
def test_a_list_in_brief_skips_what_it_cannot_show(damage: dict[str, Any], tmp_path: Path) -> None:
    write_content(tmp_path, "a", content_of("a", **damage))

    assert list_in_brief(tmp_path) == []
    assert list_records(tmp_path) == []


@pytest.mark.parametrize("run_id", ["unknown", "torn"])
def test_an_unknown_run_is_a_wrong_request(run_id: str, tmp_path: Path) -> None:
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "record.json").write_text("{")

    with pytest.raises(RunNotFoundError) as caught:
        read_record(tmp_path, run_id)

    assert (caught.value.code, caught.value.exit_code) == ("RUN_NOT_FOUND", 2)
    assert isinstance(caught.value, LineageError)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"{}",
        b'{"a": 1}',
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps(content_of("another")).encode(),
        json.dumps(content_of("theirs", state=None)).encode(),
        json.dumps(content_of("theirs", started_at="yesterday")).encode(),
        json.dumps(content_of("theirs", output=[])).encode(),
        json.dumps(content_of("theirs", counts={"items": "many"})).encode(),
        json.dumps(content_of("theirs", config=None)).encode(),
    ],
)
def test_what_is_no_record_is_named_and_passed_over(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("ours", "theirs"):
        RunFolder(tmp_path, name).create()
    RunFolder(tmp_path, "ours").write_record(record_of("ours"))
    (tmp_path / "theirs" / "record.json").write_bytes(content)

    assert [record.run_id for record in list_records(tmp_path)] == ["ours"]
    assert f"'{tmp_path / 'theirs' / 'record.json'}' is not the record of a run" in caplog.text
    with pytest.raises(RunNotFoundError):
        read_record(tmp_path, "theirs")


def test_a_folder_a_pipe_and_a_huge_file_are_no_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder" / "record.json").mkdir(parents=True)
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "record.json")
    RunFolder(tmp_path, "huge").create()
    RunFolder(tmp_path, "huge").write_record(record_of("huge"))
    monkeypatch.setattr(subject, "_LONGEST_RECORD", 100)

    assert list_records(tmp_path) == []
