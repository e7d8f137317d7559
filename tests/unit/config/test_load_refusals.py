from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from sparkscore.config import load_deployment
from sparkscore.errors import ConfigError

Write = Callable[[str], Path]


def _refused(path: Path | None, overrides: dict[str, object] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_deployment(path, overrides or {})
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - our own bytes
    return caught.value


@pytest.mark.parametrize(
    "text",
    ["settings: {mini_batch_size: 5}\nmini_batch_size: 6\n", "mini_batch_size: 6\nsettings:\n  mini_batch_size: 5\n"],
)
def test_a_setting_in_both_places_is_refused(text: str, write: Write) -> None:
    error = _refused(write(text))

    assert error.code == "CONFIG_VALUE"
    assert "'mini_batch_size' (line" in error.what
    assert "is also given as 'settings.mini_batch_size'" in error.what


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("environment_variables: {A: b}\nsettings: {environment_variables: {A: b}}", "'environment_variables'"),
        ("resources: {instance_count: 1}\nsettings: {instance_count: 1}", "'resources.instance_count'"),
    ],
)
def test_azures_other_doubles_are_refused(text: str, words: str, write: Write) -> None:
    assert f"is also given as {words}" in _refused(write(text)).what


@pytest.mark.parametrize(
    ("text", "key", "line", "got", "expected"),
    [
        ("chunk_size: 0", "chunk_size", 1, "0", "a number of at least 1"),
        ("chunk_size: 1.0", "chunk_size", 1, "1.0", "a whole number"),
        ("chunk_size: true", "chunk_size", 1, "True", "a whole number"),
        ("chunk_size: '5'", "chunk_size", 1, "'5'", "a whole number"),
        ("name: 5", "name", 1, "5", "a text; numbers and words like true need quotes"),
        ("name: ''", "name", 1, "''", "a text that is not empty"),
        ("settings: 5", "settings", 1, "5", "a mapping (key: value)"),
        ("settings: [1]", "settings", 1, "a list", "a mapping (key: value)"),
        ("tags: a", "tags", 1, "'a'", "a mapping (key: value)"),
        ("settings:\n  error_threshold: -2", "settings.error_threshold", 2, "-2", "a number of at least -1"),
        ("a_comment: 1\nerror_threshold: -2", None, 2, "-2", "a number of at least -1"),
        ("retry_settings:\n  timeout: 0", "retry_settings.timeout", 2, "0", "a number greater than 0"),
        ("retry_settings: {timeout: 259201}", "retry_settings.timeout", 1, "259201", "a number of at most 259200"),
        ("retry_settings: {max_retries: -1}", "retry_settings.max_retries", 1, "-1", "a number of at least 0"),
        ("allowed_failed_percent: 100.5", "allowed_failed_percent", 1, "100.5", "a number of at most 100"),
        ("allowed_failed_percent: few", "allowed_failed_percent", 1, "'few'", "a number"),
        ("mini_batch_size: ten", "mini_batch_size", 1, "'ten'", "a number of items (10) or of bytes"),
        ("logging_level: loud", "logging_level", 1, "'loud'", "'warning', 'info' or 'debug'"),
        ("output_action: append", "output_action", 1, "'append'", "'append_row' or 'summary_only'"),
        ("input: {format: xml}", "input.format", 1, "'xml'", "'files', 'parquet'"),
        ("input: {version: -1}", "input.version", 1, "-1", "a number of at least 0"),
        ("input: {location: [a, 5]}", "input.location.1", 1, "5", "a text"),
        ("input: {columns: a}", "input.columns", 1, "'a'", "a list"),
        ("output:\n  partition_by: {a: b}", "output.partition_by", 2, "a mapping", "a list"),
        ("environment_variables: {A: [x]}", "environment_variables.A", 1, "a list", "a text"),
        ("environment_variables: {A: }", "environment_variables.A", 1, "no value", "a text"),
        ("settings: {environment_variables: {A: }}", "settings.environment_variables.A", 1, "no value", "a text"),
        ("settings: {instance_count: 0}", "settings.instance_count", 1, "0", "a number of at least 1"),
        ("columns: {a: 5}", "columns.a", 1, "5", "a text"),
        ("model: {path: m, sha256: abc}", "model.sha256", 1, "'abc'", "a text like ^[0-9a-fA-F]{64}$"),
        (
            'code_configuration: {scoring_script: s, arguments: "\'a"}',
            "code_configuration.arguments",
            1,
            "''a'",
            "closed",
        ),
        ("isolation: thread", "isolation", 1, "'thread'", "'process' or 'none'"),
        ("trust: all", "trust", 1, "'all'", "'code'"),
        ("type: batch", "type", 1, "'batch'", "'model'"),
        ("name: " + "x" * 5 + "\ndescription: [a]", "description", 2, "a list", "a text"),
    ],
)
def test_a_wrong_value_is_named_with_place_got_and_expected(
    text: str, key: str | None, line: int, got: str, expected: str, write: Write
) -> None:
    path = write(text.replace("a_comment: 1", "# a comment"))

    error = _refused(path)

    assert error.code == "CONFIG_VALUE"
    assert str(path) in error.what
    assert f"(line {line}, column " in error.what
    assert key is None or f"'{key}'" in error.what
    assert got in error.got
    assert expected in error.expected
    assert error.next_step == "Correct the value."


@pytest.mark.parametrize(
    ("text", "key"),
    [("model: {name: heart}", "model.path"), ("code_configuration: {code: src}", "code_configuration.scoring_script")],
)
def test_a_missing_key_is_named(text: str, key: str, write: Write) -> None:
    error = _refused(write(text))

    assert error.code == "CONFIG_VALUE"
    assert f"'{key}' (line 1, column 1) is missing" in error.what


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("settings: {mini_batchsize: 3}", "settings.mini_batchsize", "mini_batch_size"),
        ("mini_batchsize: 3", "mini_batchsize", "mini_batch_size"),
        ("ouput: {}", "ouput", "output"),
        ("input: {formt: csv}", "input.formt", "format"),
        ("output: {partitionBy: a}", "output.partitionBy", "partition_by"),
        ("code_configuration: {scoring_script: a, script: b}", "code_configuration.script", "scoring_script"),
        ("settings: {retry_settings: {max_retry: 3}}", "settings.retry_settings.max_retry", "max_retries"),
        ("retry_settings: {max_retry: 3}", "retry_settings.max_retry", "max_retries"),
        ("environment: {conda: x}", "environment.conda", "conda_file"),
        ("model: {path: m, sha: x}", "model.sha", "sha256"),
        ("instance_count: 3", "instance_count", "resources.instance_count"),
        ("location: /x", "location", "input.location"),
        ("zzzzzz: 1", "zzzzzz", None),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(
    text: str, key: str, nearest: str | None, write: Write
) -> None:
    error = _refused(write(text))

    assert error.code == "CONFIG_UNKNOWN_KEY"
    assert f"'{key}' (line 1, column " in error.what
    assert error.what.endswith("is unknown" if nearest is None else f"is unknown, did you mean '{nearest}'")


def test_an_unknown_option_is_named_as_one(write: Write) -> None:
    error = _refused(write("name: a"), {"settings.mini_batchsize": 3})

    assert "'settings.mini_batchsize' (option) is unknown, did you mean 'mini_batch_size'" in error.what


def test_a_section_that_is_no_mapping_is_the_only_problem(write: Write) -> None:
    error = _refused(write("settings: 5\nmini_batch_size: 3\n"))

    assert "'settings' (line 1, column 1)" in error.what


def test_a_missing_key_of_options_is_named() -> None:
    assert _refused(None, {"model.name": "heart"}).what == "deployment: 'model.path' (option) is missing"


def test_all_problems_are_told_at_once_and_cut_at_five(write: Write) -> None:
    error = _refused(write("".join(f"wrong_{letter}: 1\n" for letter in "abcdef") + "chunk_size: 0\n"))

    assert error.code == "CONFIG_UNKNOWN_KEY"
    assert "has 7 problems: 'wrong_a' (line 1, column 1)" in error.what
    assert "'wrong_e'" in error.what
    assert "'wrong_f'" not in error.what
    assert error.what.endswith("; and 2 more")


def test_two_problems_of_two_kinds(write: Write) -> None:
    error = _refused(write("chunk_size: 0\nwrong: 1\n"))

    assert "'chunk_size' (line 1, column 1) got 0, expected a number of at least 1; 'wrong' (line 2" in error.what
    assert error.next_step.startswith("Correct the value. Correct or remove the key")


def test_a_wrong_value_never_shows_a_secret(write: Write) -> None:
    error = _refused(write("environment_variables:\n  A: 1\nchunk_size: 'AccountKey=abc123=='\ntags: {}\n"))
    hidden = _refused(None, {"input.options": {"password": ["x"]}, "name": {"a": 1}, "input.version": "pwd=hunter2"})

    assert "abc123" not in str(error)
    assert "hunter2" not in str(hidden)


def test_a_long_wrong_value_is_cut(write: Write) -> None:
    assert len(_refused(write(f"chunk_size: {'x' * 500}")).got) < 70


def test_an_output_schema_that_is_no_ddl_is_refused(write: Write) -> None:
    load_deployment(write("output: {schema: 'label string, score double'}"))

    error = _refused(write("output:\n  schema: label strin\n"))

    assert error.code == "CONFIG_VALUE"
    assert "'output.schema' (line 2, column 3)" in error.what
    assert "strin" in str(error)
