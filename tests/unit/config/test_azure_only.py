from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sparkscore.config import load_deployment
from sparkscore.errors import ConfigError

Write = Callable[[str], Path]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("code_configuration.arguments", ["--name", "${{inputs.name}}"], "code_configuration.arguments"),
        ("code_configuration.arguments", "--name=${{ inputs.name }}", "code_configuration.arguments"),
        ("environment_variables.LEVEL", "a ${{inputs.level}} b", "environment_variables.LEVEL"),
        ("model.path", "${{inputs.model}}/model.pkl", "model.path"),
        ("models.words.path", "${{inputs.words}}", "models.words.path"),
        ("input.location", ["in", "${{inputs.data}}"], "input.location"),
        ("output.location", "${{outputs.scores}}", "output.location"),
        ("input.options.sep", "${{inputs.sep}}", "input.options.sep"),
        ("name", "${{name}}", "name"),
    ],
)
def test_an_expression_of_azures_is_no_text(key: str, value: object, told: str) -> None:
    script = {"code_configuration.scoring_script": "score.py"} if key.startswith("code") else {}

    with pytest.raises(ConfigError) as caught:
        load_deployment(None, {**script, key: value})

    assert caught.value.code == "AZURE_EXPRESSION"
    assert f"'{told}'" in caught.value.what
    assert "${{" in caught.value.got
    assert f"--set {told}=VALUE" in caught.value.next_step


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("description", "what ${{inputs.x}} is"),
        ("tags", {"note": "${{name}}"}),
        ("model", {"path": "m", "description": "${{inputs.x}}"}),
        ("environment", {"description": "${{inputs.x}}"}),
        ("environment_variables.HOME_DIR", "${HOME} $((1)) {{x}} $ {{x}}"),
    ],
)
def test_other_braces_and_descriptions_stay_as_they_are(key: str, value: object) -> None:
    load_deployment(None, {key: value})


@pytest.mark.parametrize(
    ("arguments", "told", "step"),
    [
        (["--error_threshold", "5"], "'--error_threshold'", "'settings.error_threshold: 5'"),
        ("--top 3 --error_threshold=5", "'--error_threshold'", "'settings.error_threshold: 5'"),
        (["--run_max_try", "3"], "'--run_max_try'", "'settings.retry_settings.max_retries: 2'"),
        (
            ["--mini_batch_size", "1", "--allowed_failed_percent", "3"],
            "'--allowed_failed_percent'",
            "size: 1', 'settings",
        ),
        (["--rank_mini_batch_count", "4"], "'--rank_mini_batch_count'", "no setting does this"),
        (["--error_threshold"], "'--error_threshold'", "'settings.error_threshold: VALUE'"),
    ],
)
def test_flags_that_azure_applies_to_the_job_are_not_lost(arguments: object, told: str, step: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_deployment(
            None, {"code_configuration.scoring_script": "score.py", "code_configuration.arguments": arguments}
        )

    assert caught.value.code == "AZURE_ARGUMENT"
    assert told in caught.value.got
    assert step in caught.value.next_step


def test_what_is_azures_is_said_together() -> None:
    with pytest.raises(ConfigError) as caught:
        load_deployment(
            None,
            {
                "model.path": "${{inputs.model}}",
                "code_configuration.scoring_script": "score.py",
                "code_configuration.arguments": "--m ${{inputs.m}} --error_threshold 5 --copy_logs_to_parent True",
            },
        )

    assert caught.value.code == "AZURE_EXPRESSION"
    told = str(caught.value)
    assert "'model.path'" in told
    assert "'code_configuration.arguments'" in told
    assert "'--copy_logs_to_parent', '--error_threshold'" in told


@pytest.mark.parametrize("arguments", ["--output out --top 3", "error_threshold 5", "--error-rate 3 -e 5", ""])
def test_arguments_of_the_scripts_own_stay(arguments: str) -> None:
    loaded = load_deployment(
        None, {"code_configuration.scoring_script": "score.py", "code_configuration.arguments": arguments}
    )

    assert loaded.code_configuration
    assert list(loaded.code_configuration.arguments) == arguments.split()


@pytest.mark.parametrize(
    "text",
    [
        "model: m\npartition_keys: [user]",
        "model: m\nsettings:\n  partition_keys: [user]",
        "model: m\ninput:\n  partition_keys: user",
        "task:\n  type: run_function\npartition_keys: [user]",
        "parallel_run_config:\n  partition_keys: [user, day]\n  entry_script: s.py",
        "code_configuration:\n  scoring_script: s.py\n  arguments: --partition_keys user",
    ],
)
def test_groups_by_key_are_refused_with_the_reason_and_not_left_out(text: str, write: Write) -> None:
    with pytest.raises(ConfigError, match=r"partition_keys'.*several groups.*input.format: files") as caught:
        load_deployment(write(text))

    assert caught.value.code == "NOT_SUPPORTED_YET"


def test_groups_by_key_are_refused_as_an_option_too() -> None:
    with pytest.raises(ConfigError, match="several groups"):
        load_deployment(None, {"settings.partition_keys": ["user"]})


def test_a_tag_of_that_name_is_no_request(write: Write) -> None:
    load_deployment(write("model: m\npartition_keys:\ntags: {keys: partition_keys}"))
    load_deployment(
        write("model: {path: m, params: {partition_keys: [a]}}\nenvironment_variables: {partition_keys: a}")
    )
