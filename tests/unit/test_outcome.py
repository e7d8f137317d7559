from __future__ import annotations

import ast
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import OutputContractError
from sparkscore.outcome import Failure, Outcome, describe_failure, failed_outcome


def raised_by(call: Callable[[], object]) -> BaseException:
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - the caller looks at it
        return error
    raise AssertionError("nothing was raised")


def run_code(folder: Path, source: str, name: str = "score.py") -> BaseException:
    """Give what the code raises when it runs as a file in the folder."""
    path = folder / name
    path.write_text(source)
    return raised_by(lambda: exec(compile(source, str(path), "exec"), {"folder": folder}))  # noqa: S102 - the test's own


class UnreadableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


class WrongTextError(Exception):
    def __str__(self) -> Any:
        return object.__new__(object)


@pytest.mark.parametrize("error", [UnreadableError("x"), WrongTextError("x")])
def test_an_exception_without_a_text_is_described_by_its_class(error: Exception) -> None:
    failure = describe_failure(raised_by(lambda: exec("raise error", {"error": error})))  # noqa: S102 - the test's own

    assert (failure.code, failure.error_class) == ("SCRIPT_RUN", type(error).__name__)
    assert failure.message == "(the exception's own text could not be read)"
    assert type(error).__name__ in failure.traceback_text


def test_the_message_is_cut_and_the_traceback_is_whole() -> None:
    failure = describe_failure(ValueError("x" * 5000), ErrorCode.SCRIPT_INIT)

    assert (failure.code, failure.message) == ("SCRIPT_INIT", "x" * 2000)
    assert "x" * 5000 in failure.traceback_text


def test_text_that_is_not_utf8_can_still_be_stored(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Path(os.fsdecode(bytes(tmp_path / "in") + b"/caf\xe9.csv")).touch()

    failure = describe_failure(
        run_code(tmp_path, "raise ValueError(f'cannot read {next((folder / \"in\").iterdir())}')")
    )

    assert failure.message == f"cannot read {tmp_path}/in/caf\\udce9.csv"
    assert pa.array([failure.message, failure.traceback_text, failure.place], pa.string()).null_count == 0


def test_the_place_is_the_innermost_line_of_the_users_code(tmp_path: Path) -> None:
    source = "import json\ndef inner():\n    json.loads('{')\ndef outer():\n    inner()\nouter()\n"

    failure = describe_failure(run_code(tmp_path, source), code_folder=tmp_path)

    assert failure.place == "score.py, line 3"
    assert failure.traceback_text.count("json/decoder.py") > 0


def test_the_place_is_found_below_a_thousand_calls(tmp_path: Path) -> None:
    failure = describe_failure(run_code(tmp_path, "def f():\n    f()\nf()\n"), code_folder=tmp_path)

    assert (failure.error_class, failure.place) == ("RecursionError", "score.py, line 2")


def test_a_file_with_a_syntax_error_is_the_place(tmp_path: Path) -> None:
    (tmp_path / "sibling.py").write_text("x = 1\ny = = 2\n")
    source = "\n\nimport runpy\nrunpy.run_path(str(folder / 'sibling.py'))\n"

    failure = describe_failure(run_code(tmp_path, source), ErrorCode.SCRIPT_IMPORT, tmp_path)

    assert (failure.error_class, failure.place) == ("SyntaxError", "sibling.py, line 2")


@pytest.mark.parametrize("call", ["ast.literal_eval('1 +')", "eval('1 +')", "compile('1 +', 'formula', 'exec')"])
def test_a_syntax_error_in_text_that_the_script_compiles_has_the_scripts_line_as_its_place(
    call: str, tmp_path: Path
) -> None:
    failure = describe_failure(run_code(tmp_path, f"import ast\n\n{call}\n"), code_folder=tmp_path)

    assert (failure.error_class, failure.place) == ("SyntaxError", "score.py, line 3")


def test_a_syntax_error_without_a_file_has_no_place(tmp_path: Path) -> None:
    assert describe_failure(SyntaxError("made by hand"), code_folder=tmp_path).place == ""


@pytest.mark.parametrize("folder", [None, Path("/elsewhere")])
def test_the_place_is_unknown_outside_of_the_users_code(folder: Path | None) -> None:
    failure = describe_failure(raised_by(lambda: ast.literal_eval("1 +")), code_folder=folder)

    assert failure.place == ""


def test_the_cause_of_an_exception_is_in_the_traceback(tmp_path: Path) -> None:
    source = "try:\n    {}['inner']\nexcept KeyError as error:\n    raise ValueError('outer') from error\n"

    failure = describe_failure(run_code(tmp_path, source), code_folder=tmp_path)

    assert (failure.message, failure.place) == ("outer", "score.py, line 4")
    assert "KeyError: 'inner'" in failure.traceback_text


def test_our_own_error_keeps_its_code_and_advice_and_shows_its_cause_in_the_log_only() -> None:
    error = OutputContractError(code=ErrorCode.OUTPUT_TYPE, what="column 'a'", got="text", next_step="Cast it.")
    error.__cause__ = ValueError("the value was Ada Lovelace")

    failure = describe_failure(error)

    assert failure == Failure(ErrorCode.OUTPUT_TYPE, "", "column 'a': got text", "", failure.traceback_text, "Cast it.")
    assert failure.error_class == "OutputContractError"
    assert "Ada Lovelace" in failure.traceback_text


def test_our_own_error_without_a_cause_has_no_traceback() -> None:
    assert (
        describe_failure(OutputContractError(code=ErrorCode.OUTPUT_ROWS, what="w", next_step="n")).traceback_text == ""
    )


def test_items_are_scored_or_failed() -> None:
    failure = Failure(ErrorCode.SCRIPT_RUN, "E", "m")

    assert Outcome(items=5, scored=3).failed == 2
    assert failed_outcome(5, failure) == Outcome(items=5, scored=0, failure=failure)
    assert failed_outcome(5, failure).failed == 5


def test_an_import_error_names_the_missing_module() -> None:
    error = ModuleNotFoundError("No module named 'openpyxl'")

    assert describe_failure(error).missing_module == "openpyxl"
    assert describe_failure(ModuleNotFoundError("not here")).missing_module == ""
    assert describe_failure(KeyError("No module named 'openpyxl'")).missing_module == ""


def test_exceptions_that_are_each_others_cause_end_the_search_for_a_missing_module() -> None:
    error, other = RuntimeError("x"), ValueError("y")
    error.__cause__, other.__cause__ = other, error

    assert describe_failure(error).missing_module == ""


def test_a_failure_has_the_class_of_the_exception_or_of_its_code() -> None:
    assert Failure(ErrorCode.SCRIPT_RUN, "KeyError").error_class == "KeyError"
    assert Failure(ErrorCode.OUTPUT_ROWS).error_class == "OutputContractError"
