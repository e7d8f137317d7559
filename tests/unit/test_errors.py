from __future__ import annotations

import copy
import inspect
import pickle
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore import errors
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import NOTHING_WRITTEN, ConfigError, MissingDependencyError, SparkscoreError, named, names

KINDS = sorted(
    (kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, SparkscoreError)),
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("travel", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])  # noqa: S301 - our own
def test_an_error_keeps_its_class_and_all_its_fields_on_the_way_to_another_process(
    kind: type[SparkscoreError], travel: object
) -> None:
    error = kind(
        code=ErrorCode.USAGE,
        what="it",
        next_step="Do that.",
        got="x",
        expected="y",
        state="Half.",
        record={"counts": {"items": 1}},
    )
    error.add_note("a note")

    arrived = travel(error)  # type: ignore[operator]

    assert type(arrived) is kind
    assert vars(arrived) == vars(error)
    assert (str(arrived), arrived.args) == (str(error), error.args)


def test_an_error_pickles_without_the_optional_fields() -> None:
    error = ConfigError(code=ErrorCode.USAGE, what="it", next_step="Do that.")

    arrived = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own

    assert (arrived.got, arrived.expected, arrived.state, arrived.record) == ("", "", NOTHING_WRITTEN, None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"got": "98", "expected": "100"}, "[USAGE] it: got 98, expected 100. Nothing was written. Do that."),
        ({"got": "98"}, "[USAGE] it: got 98. Nothing was written. Do that."),
        ({"expected": "100."}, "[USAGE] it: expected 100. Nothing was written. Do that."),
        ({}, "[USAGE] it. Nothing was written. Do that."),
        ({"state": ""}, "[USAGE] it. Do that."),
    ],
)
def test_a_message_is_one_sentence_after_another(fields: dict[str, str], message: str) -> None:
    assert str(ConfigError(code=ErrorCode.USAGE, what="it", next_step="Do that.", **fields)) == message  # type: ignore[arg-type]


def test_the_tree_in_the_docstring_names_every_class() -> None:
    documented = set(re.findall(r"\b\w+Error\b", errors.__doc__ or "")) - {"ValueError", "ImportError"}

    assert documented == {kind.__name__ for kind in KINDS}


def test_errors_are_also_what_callers_expect_of_a_library() -> None:
    assert issubclass(ConfigError, ValueError)
    assert issubclass(MissingDependencyError, ImportError)


def test_wrong_requests_exit_with_2_and_failures_with_1() -> None:
    assert {kind.__name__ for kind in KINDS if kind.exit_code == 2} == {
        "ConfigError", "MissingDependencyError", "ModelNotFoundError", "RunNotFoundError", "SignatureMismatchError",
        "SinkConflictError", "SinkSchemaError", "SourceNotFoundError", "SourceSchemaError",
    }  # fmt: skip
    assert {kind.exit_code for kind in KINDS} == {1, 2}


@given(st.lists(st.text(string.ascii_letters, min_size=1, max_size=5), unique=True, max_size=20))
def test_at_most_five_names_are_listed_and_the_others_counted(items: list[str]) -> None:
    listed = names(items)

    assert re.findall(r"'(\w+)'", listed) == sorted(items)[:5]
    assert ("more" in listed) == (len(items) > 5)
    assert not listed.endswith("more") or listed.endswith(f" and {len(items) - 5} more")


def test_what_the_system_refuses_is_named_with_its_place() -> None:
    known = named(OSError(28, "No space left on device", "/data/out"))

    assert str(known).startswith("[SYSTEM] the operating system refused an operation on '/data/out': got No space")
    assert named(OSError("a library's own")).__class__ is OSError
    assert named(bug := KeyError("x")) is bug


@pytest.mark.parametrize(
    ("module", "code", "line"),
    [
        ("pyspark", "PYSPARK_MISSING", "pip install 'sparkscore[local]'"),
        ("py4j", "PYSPARK_MISSING", "pip install 'sparkscore[local]'"),
        ("mlflow", "MISSING_PACKAGE", "pip install 'sparkscore[mlflow]'"),
        ("sklearn", "MISSING_PACKAGE", "pip install 'scikit-learn'"),
    ],
)
def test_a_missing_package_is_named_with_the_line_that_installs_it(module: str, code: str, line: str) -> None:
    error = named(ModuleNotFoundError(f"No module named '{module}'", name=module))

    assert isinstance(error, MissingDependencyError)
    assert error.code == code
    assert line in error.next_step


@pytest.mark.parametrize("module", [None, "sparkscore.gone", "pyspark.sql.of_another_version"])
def test_a_missing_part_of_a_package_is_a_bug(module: str | None) -> None:
    error = ModuleNotFoundError("gone", name=module)

    assert named(error) is error
