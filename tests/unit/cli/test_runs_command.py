from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sparkscore.record.queries import FunctionUse, QueryRecord, append_query
from sparkscore.record.run_record import RunRecord, end_record, new_record
from sparkscore.record.runs_folder import RunFolder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    for day, (run_id, state) in enumerate([("monday", "COMPLETE"), ("tuesday", "FAIL"), ("wednesday", "RUNNING")]):
        record = new_record(run_id, "digits.yml", {})
        if state != "RUNNING":
            record = end_record(record, state, OSError("disk [full]") if state == "FAIL" else None)
        content = record.as_dict() | {
            "started_at": f"2026-03-0{day + 2}T08:00:00.000Z",
            "input": {"format": "files", "location": "/in", "items": 1797, "skipped": {"empty": 2}},
            "output": {"format": "delta", "location": str(tmp_path / "out"), "version": 4, "rows": 1797},
            "model": {"name": "svc", "version": "1"},
            "model_loads": 2,
            "worker_processes": 1,
        }
        content["counts"] |= {"items": 1797, "scored": 1797, "mini_batches": 180}
        run_folder = RunFolder(folder, run_id)
        run_folder.create()
        run_folder.write_record(RunRecord.model_validate(content))
    return folder


@pytest.mark.usefixtures("runs")
def test_runs_are_listed_the_newest_first(sparkscore: Callable[..., Any]) -> None:
    lines = sparkscore("runs", "list").out.splitlines()

    assert [line.split()[:2] for line in lines[2:]] == [
        ["wednesday", "RUNNING"],
        ["tuesday", "FAIL"],
        ["monday", "COMPLETE"],
    ]
    assert "2026-03-02 08:00:00" in lines[-1]
    assert "1,797" in lines[-1]


def test_the_list_is_one_object(sparkscore: Callable[..., Any], runs: Path) -> None:
    answer = sparkscore("runs", "list", "--json").json

    assert answer["folder"] == str(runs)
    assert [record["run_id"] for record in answer["runs"]] == ["wednesday", "tuesday", "monday"]


def test_no_runs_is_no_error(sparkscore: Callable[..., Any], tmp_path: Path) -> None:
    answer = sparkscore("runs", "list", "--runs", tmp_path / "none")

    assert answer.exit_code == 0
    assert "No runs" in answer.out


@pytest.mark.usefixtures("runs")
def test_a_run_is_shown_in_lines(sparkscore: Callable[..., Any]) -> None:
    shown = sparkscore("runs", "show", "monday").out

    assert shown.splitlines()[0] == "COMPLETE  monday"
    assert "1,797 files: 1,797 scored, 0 failed" in shown
    assert "/in (files, 2 files left out)" in shown
    assert "svc 1, 2 loads in 1 worker process" in shown
    assert "(delta, version 4, 1,797 rows)" in shown


@pytest.mark.usefixtures("runs")
def test_the_error_of_a_failed_run_is_shown_as_it_was(sparkscore: Callable[..., Any]) -> None:
    assert "disk [full]" in sparkscore("runs", "show", "tuesday").out


def test_a_run_is_shown_whole_as_json(sparkscore: Callable[..., Any], runs: Path) -> None:
    assert sparkscore("runs", "show", "monday", "--json").json == json.loads(
        (runs / "monday" / "record.json").read_text()
    )


def test_records_of_earlier_versions_are_listed_and_shown(sparkscore: Callable[..., Any], tmp_path: Path) -> None:
    for path in (Path(__file__).parents[2] / "data" / "records").glob("*.json"):
        run_id = json.loads(path.read_text())["run_id"]
        (tmp_path / "old" / run_id).mkdir(parents=True)
        (tmp_path / "old" / run_id / "record.json").write_bytes(path.read_bytes())

    listed = sparkscore("runs", "list", "--runs", tmp_path / "old")

    assert (listed.exit_code, listed.err) == (0, "")
    for folder in (tmp_path / "old").iterdir():
        assert folder.name in listed.out
        shown = sparkscore("runs", "show", folder.name, "--runs", tmp_path / "old", "--json")
        assert shown.out == (folder / "record.json").read_text()
        assert sparkscore("runs", "show", folder.name, "--runs", tmp_path / "old").exit_code == 0


@pytest.mark.parametrize("run_id", ["sunday", "../runs"])
def test_an_unknown_run_is_a_wrong_request(sparkscore: Callable[..., Any], run_id: str) -> None:
    answer = sparkscore("runs", "show", run_id, "--json")

    assert answer.exit_code == 2
    assert set(answer.json) == {"error"}
    assert run_id in answer.err


@pytest.mark.parametrize("folder", ["theirs", "1 theirs", "theirs.lock"])
@pytest.mark.parametrize("command", [("runs", "list"), ("clean",)])
@pytest.mark.parametrize("content", ["[]", '{"state": "RUNNING"}', None])
def test_json_of_others_in_the_folder_of_runs_is_named_and_left_alone(
    sparkscore: Callable[..., Any], runs: Path, command: tuple[str, ...], content: str | None, folder: str
) -> None:
    (runs / folder).mkdir()
    if content is None:
        content = json.dumps({**new_record(folder, None, {}).as_dict(), "started_at": "long ago"})
    (runs / folder / "record.json").write_text(content)

    answer = sparkscore(*command)

    assert answer.exit_code == 0
    assert "theirs" not in answer.out
    assert f"{folder}/record.json' is not the record of a run" in answer.err
    assert (runs / folder / "record.json").read_text() == content


ODD: list[Any] = [5, "x", [], True, ["a"], {"a": {"b": 1}}]


def places(content: dict[str, Any], *above: str) -> Iterator[tuple[str, ...]]:
    for name, part in content.items():
        yield (*above, name)
        if isinstance(part, dict) and not above:
            yield from places(part, name)


def test_a_record_that_somebody_changed_ends_in_no_bug(sparkscore: Callable[..., Any], runs: Path) -> None:
    whole = json.loads((runs / "monday" / "record.json").read_text())
    config = {"config": {"output": {"location": str(runs / "out"), "format": "delta"}}, "identity": "input:1"}
    whole |= config
    (runs / "monday" / "manifest.json").write_text("{}")
    (runs / "out" / "_sparkscore" / "monday").mkdir(parents=True)
    for number, place in enumerate([*places(whole), ("config", "output", "format")]):
        changed = json.loads(json.dumps(whole))
        part = changed
        for name in place[:-1]:
            part = part[name]
        part[place[-1]] = ODD[number % len(ODD)]
        (runs / "monday" / "record.json").write_text(json.dumps(changed))
        for command in (("runs", "show", "monday"), ("runs", "list"), ("publish", "monday", "--discard")):
            answer = sparkscore(*command)
            assert answer.exit_code in {0, 2, 1}
            assert "INTERNAL" not in answer.err, (place, command, answer.err)


def test_a_record_whose_configuration_was_changed_is_named(sparkscore: Callable[..., Any], runs: Path) -> None:
    record = json.loads((runs / "monday" / "record.json").read_text())
    changed = record | {"state": "HELD", "identity": "input:1", "config": {"output": {"format": "excel"}}}
    (runs / "monday" / "record.json").write_text(json.dumps(changed))
    (runs / "monday" / "manifest.json").write_text("{}")

    answer = sparkscore("publish", "monday", "--discard")

    assert answer.exit_code == 1
    assert "[RECORD_CONFIG] the configuration in the record of run 'monday'" in answer.err


def test_statements_are_listed_with_the_functions_that_they_used(
    sparkscore: Callable[..., Any], tmp_path: Path
) -> None:
    uses = (FunctionUse("heart", "heart", "3", 1200, 2), FunctionUse("other", rows=0, failed=0), FunctionUse("far"))
    record = QueryRecord("query-1", "shell", "FAIL", "2026-01-02T03:04:05.678Z", 1.25, 7, "SPARK_JOB", uses)
    append_query(tmp_path / "runs", record)

    lines = sparkscore("runs", "list", "--queries").out.splitlines()

    assert lines[2].split()[:6] == ["query-1", "FAIL", "2026-01-02", "03:04:05", "1.2", "7"]
    assert " ".join(" ".join(lines[2:]).split()).endswith("heart 3: at least 1,200 rows, 2 failed, far")
    found = sparkscore("runs", "list", "--queries", "--json").json
    assert found["folder"] == str(tmp_path / "runs")
    assert found["queries"] == [json.loads((tmp_path / "runs" / "queries.jsonl").read_text())]


def test_no_statements_is_no_error(sparkscore: Callable[..., Any], tmp_path: Path) -> None:
    answer = sparkscore("runs", "list", "--queries", "--runs", tmp_path / "none")

    assert (answer.exit_code, answer.out.startswith("No queries in ")) == (0, True)
