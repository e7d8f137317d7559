from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sparkscore import rotating_log
from sparkscore.record.queries import FunctionUse, QueryRecord, append_query, list_queries, make_query_id

HEART = FunctionUse("heart", "heart", "3", rows=5, failed=1)


def query(number: int) -> QueryRecord:
    started = f"2026-01-02T03:04:{number:02}.000Z"
    return QueryRecord(f"query-{number}", "shell", "COMPLETE", started, 1.5, rows=2, functions=(HEART,))


def test_queries_are_listed_the_newest_first_as_they_were_written(tmp_path: Path) -> None:
    for number in (1, 3, 2):
        append_query(tmp_path / "new" / "runs", query(number))

    assert list_queries(tmp_path / "new" / "runs") == [query(3), query(2), query(1)]


def test_no_file_is_no_queries(tmp_path: Path) -> None:
    assert list_queries(tmp_path) == []


def test_lines_of_several_writers_do_not_mix(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: append_query(tmp_path, query(number)), range(50)))

    assert len(list_queries(tmp_path)) == 50


@pytest.mark.parametrize("broken", ['{"query_id": "x"', "[]", '{"functions": []}', '{"functions": [1]}', "\\xff"])
def test_a_broken_line_is_skipped_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: str) -> None:
    append_query(tmp_path, query(1))
    with (tmp_path / "queries.jsonl").open("a", encoding="utf-8") as file:
        file.write(f"{broken}\n")
    append_query(tmp_path, query(2))

    with caplog.at_level(logging.WARNING, "sparkscore"):
        assert list_queries(tmp_path) == [query(2), query(1)]
    assert "1 lines of" in caplog.text


def test_a_line_that_was_cut_costs_itself_only(tmp_path: Path) -> None:
    append_query(tmp_path, query(1))
    with (tmp_path / "queries.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"query_id": "cut')
    append_query(tmp_path, query(2))

    assert list_queries(tmp_path) == [query(2), query(1)]


def test_a_line_of_another_version_with_other_entries_is_read_for_what_is_known(tmp_path: Path) -> None:
    append_query(tmp_path, query(1))
    line = json.loads((tmp_path / "queries.jsonl").read_text())
    line["later"] = 1
    line["functions"][0]["later"] = 1
    (tmp_path / "queries.jsonl").write_text(json.dumps(line) + "\n")

    assert list_queries(tmp_path) == [query(1)]


def test_a_full_file_is_kept_and_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append_query(tmp_path, query(1))
    monkeypatch.setattr(rotating_log, "MOST_BYTES", 10)

    append_query(tmp_path, query(2))

    assert (tmp_path / "queries.jsonl").read_text().count("\n") == 1
    assert list_queries(tmp_path) == [query(2), query(1)]


def test_a_record_that_cannot_be_written_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "runs").write_text("a file")

    with caplog.at_level(logging.WARNING, "sparkscore"):
        append_query(tmp_path / "runs", query(1))

    assert "the query is not recorded in" in caplog.text


def test_an_id_has_the_time() -> None:
    assert make_query_id(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))[:-6] == "query-20260102-030405-"
