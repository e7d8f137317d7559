"""Text that holds what acts on a terminal: names of files and columns, messages of scripts, values."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sparkscore.cli.logs import log_on_stderr
from sparkscore.cli.reply import print_error, print_json, shown_path, to_stderr, to_stdout
from sparkscore.cli.runs_command import list_runs
from sparkscore.cli.summary import print_first_rows, print_record
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, message_of
from sparkscore.printable import printable
from sparkscore.record.run_record import RecordedError, RecordedInput, RecordedModel, end_record, new_record
from sparkscore.redaction import remember_values

HOSTILE = "a\x1b]0;t\x07\x1b[31mb\r\n\tc\x9b2Jd\u202ee\u2066f\u200fg\u061ch\u2028i\x7f\x00"
SAFE = "a\\x1b]0;t\\x07\\x1b[31mb\\r\\n\\tc\\x9b2Jd\\u202ee\\u2066f\\u200fg\\u061ch\\u2028i\\x7f\\x00"


def acting(text: str) -> list[str]:
    """Give the signs of a text that are no plain characters, but for line ends."""
    return [sign for sign in text if sign != "\n" and (not sign.isprintable())]


def test_what_acts_is_escaped_and_all_else_stays() -> None:
    assert printable(HOSTILE) == SAFE
    assert (
        printable("Zoë 漢字 👩\u200d💻 עברית é\u0301 \\x1b \u00a0") == "Zoë 漢字 👩\u200d💻 עברית é\u0301 \\x1b \u00a0"
    )
    assert printable("\ud83d") == "\\ud83d"


@pytest.mark.parametrize("write", [to_stdout, to_stderr, print_error])
def test_lines_are_single_lines(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    write(HOSTILE)

    shown = "".join(capsys.readouterr())
    assert SAFE in shown
    assert shown.count("\n") == 1
    assert acting(shown) == []


def test_log_lines_and_their_labels(capsys: pytest.CaptureFixture[str]) -> None:
    with log_on_stderr():
        logging.getLogger("sparkscore").warning("left out: %s", HOSTILE)

    assert capsys.readouterr().err == f"warning left out: {SAFE}\n"


def test_warnings_that_python_itself_writes_to_stderr() -> None:
    command = f"import logging, sparkscore.run; logging.getLogger('sparkscore').warning('left out: %s', {HOSTILE!r})"

    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)

    assert done.stderr == f"left out: {SAFE}\n"


def test_an_error_is_printed_safely_by_python_too_and_keeps_the_text_to_the_letter() -> None:
    error = ConfigError(code=ErrorCode.USAGE, what=f"file '{HOSTILE}'", next_step="Y.")

    assert acting(str(error)) == []
    assert HOSTILE in message_of(error)


def test_a_secret_with_line_breaks_is_masked_before_they_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    value = "first-line-of-a-key\nsecond-line-of-a-key"
    remember_values([value])

    print_error(message_of(ConfigError(code=ErrorCode.USAGE, what=f"script said {value}", next_step="Y.")))

    assert "line-of-a-key" not in capsys.readouterr().err


def test_json_keeps_the_text_by_its_own_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": HOSTILE})

    shown = capsys.readouterr().out
    assert acting(shown) == []
    assert json.loads(shown) == {"name": HOSTILE}


def test_a_records_error_keeps_the_text() -> None:
    record = end_record(
        new_record("r", None, {}), "FAIL", ConfigError(code=ErrorCode.USAGE, what=HOSTILE, next_step="Y.")
    )

    assert HOSTILE in record.as_dict()["error"]["message"]


class _Rows:
    """A run with one row."""

    def first_rows(self, _: int) -> list[dict[str, Any]]:
        return [{HOSTILE: "x", "text": f"{HOSTILE}"}]


def test_the_summary() -> None:
    record = new_record(HOSTILE, HOSTILE, {}).noting(
        model=RecordedModel(name=HOSTILE, version=HOSTILE),
        input=RecordedInput(location=HOSTILE, format="csv"),
        error=RecordedError(message=HOSTILE),
    )
    stream = io.StringIO()
    console = Console(file=stream, width=1000)

    print_record(record, Path(HOSTILE), console)
    print_first_rows(_Rows(), console)  # type: ignore[arg-type] # it has what is asked for

    assert acting(stream.getvalue()) == []
    assert stream.getvalue().count("\\x1b]0;t") >= 6


def test_the_list_of_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r").mkdir()
    record = new_record("r", None, {}).as_dict()
    record["output"] = {"location": f"[bold]{HOSTILE}"}
    (tmp_path / "r" / "record.json").write_text(json.dumps(record))

    list_runs(tmp_path, queries=False, as_json=False)

    shown = capsys.readouterr().out
    assert acting(shown) == []
    assert "[bold]a\\x1b" in shown


def test_a_path_is_shown_on_one_line() -> None:
    assert shown_path(Path("a\nb")) == "a\\nb"
