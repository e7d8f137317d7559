from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from sparkscore.config import Deployment, MiniBatchSize, load_deployment
from sparkscore.config.not_yet import UNAPPLIED

Write = Callable[[str], Path]
_AZURE = "$schema: https://azuremlschemas.azureedge.net/latest/batchDeployment.schema.json\n"


def test_our_defaults() -> None:
    deployment = load_deployment(None)

    assert deployment.mini_batch_size_for("files") == MiniBatchSize(items=10)
    assert deployment.mini_batch_size_for("rows") == MiniBatchSize(items=10_000)
    assert deployment.settings.error_threshold == 0
    assert deployment.settings.mini_batch_error_threshold == -1
    assert deployment.settings.retry_settings.max_retries == 1
    assert deployment.settings.retry_settings.timeout == 60
    assert deployment.settings.max_concurrency_per_instance is None
    assert deployment.settings.output_action == "append_row"
    assert (deployment.output.format, deployment.output.mode) == ("delta", "error")
    assert deployment.output.carry is None
    assert deployment.input.format is None
    assert not deployment.is_azure


def test_azures_defaults(write: Write) -> None:
    deployment = load_deployment(write(_AZURE))

    assert deployment.mini_batch_size_for("files") == MiniBatchSize(items=10)
    assert deployment.mini_batch_size_for("rows") == MiniBatchSize(size_bytes=1024 * 1024)
    assert deployment.settings.error_threshold == -1
    assert deployment.settings.mini_batch_error_threshold == -1
    assert deployment.settings.retry_settings.max_retries == 3
    assert deployment.settings.retry_settings.timeout == 30
    assert deployment.settings.max_concurrency_per_instance is None
    assert (deployment.output.format, deployment.output.mode) == ("delta", "error")
    assert deployment.is_azure


def test_azures_defaults_fill_only_what_is_silent(write: Write) -> None:
    deployment = load_deployment(
        write(_AZURE + "error_threshold: 0\nretry_settings: {timeout: 60}\nmini_batch_size: 7\n")
    )

    assert deployment.settings.error_threshold == 0
    assert deployment.settings.mini_batch_error_threshold == -1
    assert deployment.settings.retry_settings.max_retries == 3
    assert deployment.settings.retry_settings.timeout == 60
    assert deployment.mini_batch_size_for("rows") == MiniBatchSize(items=7)


@pytest.mark.parametrize(
    ("schema", "is_azure"),
    [
        ("https://azuremlschemas.azureedge.net/latest/batchDeployment.schema.json", True),
        ("https://azuremlschemasprod.azureedge.net/1.9.0/modelBatchDeployment.schema.json", True),
        ("https://sparkscore.example/deployment.schema.json", False),
        ("./batchDeployment.schema.json", False),
    ],
)
def test_only_azures_schema_brings_azures_defaults(schema: str, is_azure: bool) -> None:  # noqa: FBT001 - a case
    assert load_deployment(None, {"$schema": schema}).is_azure is is_azure


def test_a_deployment_is_frozen() -> None:
    deployment = load_deployment(None)

    with pytest.raises(ValidationError, match="frozen"):
        deployment.name = "x"
    with pytest.raises(ValidationError, match="frozen"):
        deployment.settings.error_threshold = 3


def test_defaults_that_were_chosen_are_told() -> None:
    deployment = load_deployment(None, {"output.mode": "append"})

    assert deployment.chosen_defaults() == {
        "output.format": "delta",
        "settings.error_threshold": 0,
        "settings.mini_batch_error_threshold": -1,
        "settings.mini_batch_size": "10 files; 10000 rows",
        "settings.retry_settings.max_retries": 1,
        "settings.retry_settings.timeout": 60,
    }
    assert deployment.chosen_defaults("rows")["settings.mini_batch_size"] == "10000 rows"
    assert deployment.chosen_defaults("files")["settings.mini_batch_size"] == "10 files"


def test_azures_defaults_are_told(write: Write) -> None:
    defaults = load_deployment(write(_AZURE)).chosen_defaults("rows")

    assert defaults["settings.mini_batch_size"] == "1048576B of rows"


def test_no_default_is_told_that_is_not_what_the_run_does() -> None:
    assert not UNAPPLIED.keys() & load_deployment(None).chosen_defaults().keys()


def test_a_default_is_told_as_soon_as_it_is_applied(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in list(UNAPPLIED):
        monkeypatch.delitem(UNAPPLIED, key)

    defaults = load_deployment(write(_AZURE + "error_threshold: 5\n")).chosen_defaults()

    assert "settings.error_threshold" not in defaults
    assert defaults["settings.mini_batch_error_threshold"] == -1
    assert defaults["settings.retry_settings.max_retries"] == 3
    assert defaults["settings.retry_settings.timeout"] == 30
    assert defaults["settings.max_concurrency_per_instance"] is None


def test_what_was_chosen_is_no_default() -> None:
    deployment = load_deployment(
        None,
        {
            "output.mode": "error",
            "output.format": "delta",
            "output_action": "append_row",
            "mini_batch_size": 10,
            "settings.retry_settings.timeout": 9,
            "settings.retry_settings.max_retries": 2,
            "settings.error_threshold": 3,
            "settings.mini_batch_error_threshold": 4,
        },
    )

    assert deployment.chosen_defaults() == {}


def test_keys_without_a_meaning_are_named(write: Write, azure_flat: str) -> None:
    deployment = load_deployment(write(azure_flat + "properties: {a: b}\nid: x\n"))

    assert deployment.ignored_keys() == [
        "compute",
        "endpoint_name",
        "environment",
        "id",
        "properties",
        "settings.output_file_name",
        "tags",
    ]
    assert load_deployment(None, {"name": "a", "description": "b"}).ignored_keys() == []


def test_settings_that_are_not_applied_are_told(write: Write, azure_flat: str) -> None:
    assert load_deployment(write(azure_flat)).unapplied_settings() == {
        "settings.max_concurrency_per_instance": 2,
        "resources.instance_count": 2,
    }


def test_what_asks_for_nothing_more_is_not_told(write: Write) -> None:
    strict = {
        "isolation": "none",
        "python.check": "warn",
    }

    assert load_deployment(None, strict).unapplied_settings() == {}
    assert load_deployment(write(_AZURE)).unapplied_settings() == {}


def test_other_settings_that_are_not_applied() -> None:
    asked = {"settings.max_concurrency_per_instance": 2}

    assert load_deployment(None, asked).unapplied_settings() == asked


def test_the_effective_deployment_is_plain_and_complete(write: Write, azure_flat: str) -> None:
    effective = load_deployment(write(azure_flat)).effective()

    assert json.loads(json.dumps(effective)) == effective
    assert effective["settings"] == {
        "mini_batch_size": 20,
        "error_threshold": -1,
        "mini_batch_error_threshold": -1,
        "retry_settings": {"max_retries": 3, "timeout": 300},
        "output_action": "append_row",
        "output_file_name": "predictions.csv",
        "logging_level": "info",
        "max_concurrency_per_instance": 2,
    }
    assert effective["$schema"] == "https://azuremlschemas.azureedge.net/latest/batchDeployment.schema.json"


def test_the_effective_deployment_holds_no_secrets() -> None:
    hidden = "hunter2"
    deployment = load_deployment(
        None,
        {
            "environment_variables.DB_PASSWORD": hidden,
            "environment_variables.URL": f"https://ada:{hidden}@host/x",
            "environment_variables.TOKENIZERS_PARALLELISM": "false",
            "input.location": f"https://a.blob.core.windows.net/c?sig={hidden}",
            "input.options.api_key": hidden,
        },
    )

    effective = deployment.effective()

    assert hidden not in json.dumps(effective)
    assert effective["environment_variables"] == {
        "DB_PASSWORD": "***",
        "URL": "https://***@host/x",
        "TOKENIZERS_PARALLELISM": "false",
    }
    assert deployment.environment_variables["DB_PASSWORD"] == hidden


def test_a_value_of_none_is_not_chosen() -> None:
    assert Deployment(chunk_size=None, name="a").chosen() == {"name": "a"}


def test_a_size_in_bytes_is_written_in_bytes() -> None:
    effective = load_deployment(None, {"mini_batch_size": "1MB"}).effective()

    assert effective["settings"]["mini_batch_size"] == "1048576B"  # type: ignore[index] # a mapping


def test_every_field_is_described() -> None:
    seen: set[type] = set()
    pending = [Deployment]
    while pending:
        section = pending.pop()
        seen.add(section)
        assert section.__doc__
        for name, field in section.model_fields.items():
            assert field.description, (section, name)
            assert field.description.endswith("."), (section, name)
            pending += [kind for kind in _sections_in(field.annotation) if kind not in seen]

    assert len(seen) == 12


def _sections_in(annotation: object) -> list[type[Deployment]]:
    kinds = [annotation, *getattr(annotation, "__args__", ())]
    return [kind for kind in kinds if isinstance(kind, type) and hasattr(kind, "model_fields")]
