"""Read the SQL statement of a command, and explain why Spark refuses one. Runs on the driver."""

from __future__ import annotations

import os.path
import re
import sys
from pathlib import Path
from typing import Final

from pyspark.errors import AnalysisException, ParseException

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SparkscoreError
from sparkscore.spark.errors import condition_of, explain_spark_error

STATE: Final = "The query was not run."
STOPPED: Final = "The query was stopped."
_STDIN: Final = "-"
_SUFFIX: Final = ".sql"
_DEPLOYMENTS: Final = (".yml", ".yaml")
# What may contain a semicolon that ends no statement: texts, names in backquotes, comments.
_WHOLE: Final = re.compile(
    r"""(?P<comment>--[^\n]*|/\*.*?\*/)|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`|\$\w*\$.*?\$\w*\$|(?P<end>;)""",
    re.DOTALL,
)
_PLACE: Final = re.compile(r"line (\d+),? pos(?:ition)? (\d+)")
_SQLSTATE: Final = re.compile(r"\.? ?SQLSTATE: \w+.*", re.DOTALL)
_DELTA_PATH: Final = re.compile(r"\bdelta\s*\.\s*`(?!/|\w+:)([^`]+)`", re.IGNORECASE)
# Spark takes a relative path of a Delta table for the name of a table.
_NOT_FOUND: Final = ("TABLE_OR_VIEW_NOT_FOUND", "UNSUPPORTED_DATASOURCE_FOR_DIRECT_QUERY")
_NO_TABLE_FUNCTION: Final = "UNRESOLVABLE_TABLE_VALUED_FUNCTION"
_LONGEST: Final = 500


def read_statement(given: str) -> str:
    """Return the statement that an argument of a command means.

    Args:
        given: a statement, the path of a file, or ``-`` for standard input. A file that ends in ``.sql`` must exist.

    Raises:
        ConfigError: the file cannot be read, is not UTF-8, or there is no statement.
    """
    if given.lower().endswith(_DEPLOYMENTS):
        raise _refusal(f"'{given}'", "a deployment", "a statement", "Write the statement before the deployments.")
    return _read(given) if given == _STDIN or _is_file(given) else _checked(given)


def read_statements(file: Path) -> list[str]:
    """Return the statements of a file, or of standard input if the path is ``-``.

    Raises:
        ConfigError: the file cannot be read, is not UTF-8, or there is no statement.
    """
    return statements_in(_read(str(file)))


def _read(given: str) -> str:
    try:
        text = sys.stdin.read() if given == _STDIN else Path(given).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "text that is not UTF-8"
        raise _refusal(f"the statement in '{given}'", reason, "a text file", "Correct the path or the file.") from error
    return _checked(text)


def _checked(text: str) -> str:
    if not _without_comments(text).strip("; \t\r\n"):
        raise _refusal("the statement", "none", "one", 'Write a statement, such as "SELECT 1".')
    return text


def _is_file(given: str) -> bool:
    # Unlike pathlib, it answers for texts that are too long for a path.
    exists = os.path.isfile(given)  # noqa: PTH113
    return exists or (given.lower().endswith(_SUFFIX) and len(given.split()) == 1)


def _without_comments(text: str) -> str:
    return _WHOLE.sub(lambda found: "" if found["comment"] else found[0], text)


def count_statements(text: str) -> int:
    """Return how many statements a text has, which are separated by semicolons.

    >>> count_statements("SELECT ';' -- ;"), count_statements("SELECT 1; SELECT 2;")
    (1, 2)
    """
    return len(statements_in(text))


def statements_in(text: str) -> list[str]:
    """Return the statements of a text, without the semicolons after them.

    >>> statements_in("SELECT ';'; -- the end;")
    ["SELECT ';'"]
    """
    ends = [found.start() for found in _WHOLE.finditer(text) if found["end"]]
    parts = [text[start:end] for start, end in zip([0, *(end + 1 for end in ends)], [*ends, len(text)], strict=True)]
    return [part.strip() for part in parts if _without_comments(part).strip()]


def explain_query_error(error: Exception, statement: str) -> SparkscoreError:
    """Return the sparkscore error for an exception that Spark raised for a statement.

    If Spark does not understand the statement, the error has Spark's reason, which is about the statement and not about
    rows. If the query fails while it runs, Spark's message may contain values of rows, so the error has only the
    condition and the place in the statement.
    """
    if isinstance(error, ParseException) and (count := count_statements(statement)) > 1:
        return _refusal(
            "the text",
            f"{count} statements",
            "one",
            "Run the command once for each, or join them: WITH name AS (SELECT …) SELECT … FROM name.",
        )
    if isinstance(error, (AnalysisException, ParseException)):
        return _refusal("the statement", _reason(error), "", _advice(error, statement))
    found = explain_spark_error(error)
    if found.state.startswith("Nothing was"):
        found.state = STOPPED
    if found.code == ErrorCode.SPARK_JOB:
        found.what = "the query failed"
        found.got += _place(error)
    return found


def _reason(error: Exception) -> str:
    """Return the first line of Spark's message, without the plan and the statement that follow it."""
    text, condition = str(error).strip(), condition_of(error)
    line = _SQLSTATE.sub("", text).removeprefix(f"[{condition}]").strip().split("\n")[0]
    return f"{condition}: {line[:_LONGEST].rstrip('.;')}{_place(error)}"


def _place(error: Exception) -> str:
    found = _PLACE.search(str(error))
    if found is None:
        return ""
    # Spark counts the characters of a line from 0 in some messages, where it writes "pos", and from 1 in others.
    first = 0 if "position" in found[0] else 1
    return f" (line {found[1]}, character {int(found[2]) + first})"


def _advice(error: Exception, statement: str) -> str:
    relative, condition = _DELTA_PATH.search(statement), condition_of(error)
    if relative is not None and condition.startswith(_NOT_FOUND):
        return f"Write the whole path of the Delta table: delta.`{Path(relative[1]).absolute()}`."
    if condition == _NO_TABLE_FUNCTION:
        return (
            "Correct the name. A scoring script without 'output.carry' has a table function, with Spark 4.1 or later."
        )
    return "Correct the statement."


def _refusal(what: str, got: str, expected: str, next_step: str) -> ConfigError:
    return ConfigError(
        code=ErrorCode.SQL_STATEMENT, what=what, got=got, expected=expected, state=STATE, next_step=next_step
    )
