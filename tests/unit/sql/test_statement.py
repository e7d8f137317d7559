from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import AnalysisException, ParseException, PySparkException

from sparkscore.errors import ConfigError, ScoringError
from sparkscore.sql.statement import count_statements, explain_query_error, read_statement, read_statements


def test_a_statement_is_an_argument_a_file_or_standard_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "my risks.sql").write_text("\ufeffSELECT 'ü'", encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 3\n"))

    assert read_statement("SELECT 1") == "SELECT 1"
    assert read_statement("SELECT 2 AS sql FROM db.sql") == "SELECT 2 AS sql FROM db.sql"
    assert read_statement(str(tmp_path / "my risks.sql")) == "SELECT 'ü'"
    assert read_statement("-") == "SELECT 3\n"


def test_a_file_that_exists_is_read_whatever_its_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my tables.txt").write_text("SELECT 4", encoding="utf-8")
    Path("folder").mkdir()

    assert read_statement("my tables.txt") == "SELECT 4"
    assert read_statement("folder") == "folder"
    # The names of files are shorter, and the system refuses to look for this one.
    assert read_statement("SELECT 1 --" + "x" * 5_000 + " .sql").startswith("SELECT 1 --")


@pytest.mark.parametrize("given", ["none.txt", "SELECT 1", "folder"])
def test_a_file_with_statements_must_exist(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("tables").write_text("SELECT 1; SELECT 2;", encoding="utf-8")

    assert read_statements(Path("tables")) == ["SELECT 1", "SELECT 2"]
    with pytest.raises(ConfigError, match=rf"^\[SQL_STATEMENT\] the statement in '{given}': got (No such|Is a dir)"):
        read_statements(Path(given))


def test_statements_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 3;\n"))

    assert read_statements(Path("-")) == ["SELECT 3"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("none.sql", "the statement in 'none.sql': got No such file or directory"),
        ("broken.sql", "got text that is not UTF-8"),
        ("", "the statement: got none"),
        (" -- SELECT 1\n/* ; */ ; ", "the statement: got none"),
        ("heart.yml", "Write the statement before the deployments"),
    ],
)
def test_what_is_no_statement_is_refused(
    given: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.sql").write_bytes(b"\xff")

    with pytest.raises(ConfigError, match=told) as caught:
        read_statement(given)
    assert str(caught.value).startswith("[SQL_STATEMENT] ")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("SELECT 1", 1),
        ("SELECT 1;", 1),
        ("SELECT 1;\n-- the end; really\n", 1),
        ("SELECT 1; SELECT 2;", 2),
        ("SELECT 'it\\'s; ' , \"a;\" , `b;` /* ; */", 1),
        ("SELECT 'it''s;'; SELECT $$ ; $$", 2),
        (";;", 0),
    ],
)
def test_statements_are_counted(text: str, count: int) -> None:
    assert count_statements(text) == count


PARSE = "\n[PARSE_SYNTAX_ERROR] Syntax error at or near 'SELECT'. SQLSTATE: 42601 (line 1, pos 10)\n\n== SQL ==\nS"
COLUMN = (
    "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name `x` cannot be resolved. `id`?. "
    "SQLSTATE: 42703; line 2 pos 7;\n'Project ['x]\n+- Range (0, 3)\n"
)
TABLE = (
    "[TABLE_OR_VIEW_NOT_FOUND] The table or view `delta`.`risks` cannot be found. Verify the spelling.\nIf you did not "
    "qualify it. SQLSTATE: 42P01; line 1 pos 14;\n'Project [*]\n"
)


def explained(error: Exception, statement: str = "SELECT x FROM t") -> str:
    return str(explain_query_error(error, statement))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ParseException(PARSE), "PARSE_SYNTAX_ERROR: Syntax error at or near 'SELECT' (line 1, character 11)"),
        (
            AnalysisException(COLUMN),
            "UNRESOLVED_COLUMN.WITH_SUGGESTION: A column with name `x` cannot be resolved. `id`? (line 2, character 8)",
        ),
        (AnalysisException("no condition"), "AnalysisException: no condition"),
    ],
)
def test_a_statement_that_spark_does_not_understand_is_explained_in_one_line(error: Exception, expected: str) -> None:
    expected = f"[SQL_STATEMENT] the statement: got {expected}. The query was not run. Correct the statement."
    assert explained(error) == expected


def test_several_statements_are_refused_only_if_spark_refuses_them() -> None:
    assert "got 2 statements, expected one." in explained(ParseException(PARSE), "SELECT 1; SELECT 2")
    assert "got PARSE_SYNTAX_ERROR" in explained(ParseException(PARSE), "SELECT 1 SELECT 2;")


def test_the_path_of_a_delta_table_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    message = explained(AnalysisException(TABLE), "SELECT * FROM delta.`risks` JOIN t")

    assert f"Write the whole path of the Delta table: delta.`{tmp_path}/risks`." in message
    assert explained(AnalysisException(TABLE), "SELECT * FROM delta.`/risks`").endswith("Correct the statement.")


def test_a_query_that_fails_says_where_and_shows_no_values() -> None:
    message = (
        '[CAST_INVALID_INPUT] The value \'secret\' of the type "STRING" cannot be cast to "INT". SQLSTATE: 22018\n'
        "== SQL (line 1, position 8) ==\nSELECT CAST(x AS INT)\n"
    )

    error = explain_query_error(PySparkException(message), "SELECT CAST(x AS INT)")

    assert isinstance(error, ScoringError)
    assert str(error) == (
        "[SPARK_JOB] the query failed: got CAST_INVALID_INPUT (line 1, character 8). The query was stopped. "
        "Spark's whole message is in the log."
    )


@pytest.mark.parametrize("condition", ["PATH_NOT_FOUND", "FAILED_READ_FILE"])
def test_other_errors_are_those_of_a_job(condition: str) -> None:
    error: Any = explain_query_error(PySparkException(f"[{condition}] x"), "SELECT 1")

    assert (error.code, error.state) == ("INPUT_UNREADABLE", "The query was stopped.")
