from __future__ import annotations

from pathlib import Path

import pytest

from sparkscore.errors import RunNotFoundError
from sparkscore.record.queries import QueryRecord, append_query
from sparkscore.record.run_record import new_record
from sparkscore.record.runs_folder import RunFolder
from sparkscore.run import list_runs, show_run


def test_runs_are_listed_as_dictionaries_the_newest_first(tmp_path: Path) -> None:
    for run_id, started in (("old", "2026-01-01T00:00:00Z"), ("new", "2026-01-02T00:00:00Z")):
        folder = RunFolder(tmp_path / "runs", run_id)
        folder.create()
        folder.write_record(new_record(run_id, None, {}).noting(started_at=started))

    listed = list_runs()

    assert [record["run_id"] for record in listed] == ["new", "old"]
    assert listed[1] == show_run("old") == show_run("old", runs=tmp_path / "runs")


def test_statements_are_listed_as_dictionaries(tmp_path: Path) -> None:
    append_query(tmp_path / "runs", QueryRecord("query-1", "shell", "FAIL", "2026-01-01T00:00:00Z", 1.5))

    (query,) = list_runs(queries=True)

    assert (query["query_id"], query["state"], query["seconds"]) == ("query-1", "FAIL", 1.5)
    assert list_runs() == []


def test_of_no_runs_none_is_listed(tmp_path: Path) -> None:
    assert list_runs(runs=tmp_path / "none") == []


def test_a_run_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match="'never'"):
        show_run("never", runs=tmp_path)
