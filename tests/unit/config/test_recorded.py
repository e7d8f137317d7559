from __future__ import annotations

import json
from pathlib import Path

import pytest

from sparkscore.config import Deployment, hidden_values, hold_secrets, load_deployment, refuse_secrets_in_locations
from sparkscore.errors import ConfigError


def test_places_and_names_are_recorded_as_they_are() -> None:
    exact = {
        "input.location": ["/in/password=x/sk-abcdefghijklmnop1234567890.csv"],
        "input.columns": ["token", "password"],
        "output.location": "/out/token=abc",
        "output.stage": "/stage/api_key=5",
        "output.partition_by": ["secret"],
        "columns.token": "score",
        "columns.run_id": "api_key",
        "model.path": "/models/pwd=1/m.bin",
        "model.inputs.token_secret": ["password"],
        "models.token.path": "/models/token=5",
        "python.path": "/envs/token=5/bin/python",
    }
    deployment = load_deployment(None, exact)

    recorded = deployment.effective()

    assert Deployment.model_validate(recorded) == deployment
    assert hidden_values(deployment.whole(), recorded) is None


@pytest.mark.parametrize("name", ["max_tokens", "tokenizer", "key_column", "primary_key", "password_field"])
def test_what_is_called_like_a_secret_and_is_none_is_recorded(name: str) -> None:
    settings = {f"model.params.{name}": "id", f"environment_variables.{name}": "128", "model.path": "/m"}

    recorded = load_deployment(None, settings).effective()

    assert recorded["model"]["params"] == {name: "id"}  # type: ignore[index] # a mapping
    assert recorded["environment_variables"] == {name: "128"}


def test_a_secret_is_masked_wherever_the_deployment_repeats_it() -> None:
    deployment = load_deployment(
        None,
        {
            "environment_variables.DB_PASS": "tr0ub4dor",
            "environment_variables.COMMAND": "connect ada tr0ub4dor",
            "code_configuration.scoring_script": "score.py",
            "code_configuration.arguments": ["--api-key", "abc123456", "--rows", "5"],
            "tags.note": "the key is abc123456",
        },
    )

    recorded = json.dumps(deployment.effective())

    assert "tr0ub4dor" not in recorded
    assert "abc123456" not in recorded
    assert hidden_values(deployment.whole(), deployment.effective()) is not None


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("input.location", "https://a.blob.core.windows.net/c?sv=1&sig=aB3dEf"),
        ("input.location", ["/in", "s3a://AKIA:secret@bucket/in"]),
        ("output.location", "s3://bucket/out?password=hunter2"),
        ("output.stage", "hdfs://ada:hunter2@host/stage"),
        ("model.path", "https://ada:hunter2@host/m.onnx"),
        ("models.other.path", "https://ada:hunter2@host/m.onnx"),
    ],
)
def test_an_address_with_a_secret_is_refused_and_recorded_nowhere(key: str, place: object) -> None:
    deployment = load_deployment(None, {key: place})

    with pytest.raises(ConfigError, match=key) as caught:
        refuse_secrets_in_locations(deployment.chosen())

    assert caught.value.code == "SECRET_IN_PLACE"
    for text in (str(caught.value), json.dumps(deployment.effective())):
        assert not [secret for secret in ("aB3dEf", "secret@", "hunter2") if secret in text]


@pytest.mark.parametrize(
    "place", ["abfss://c@a.dfs.core.windows.net/in", "s3a://bucket/token=1/x", "/in/token=abc", "file:/in/password=x"]
)
def test_other_places_are_taken(place: str) -> None:
    refuse_secrets_in_locations(load_deployment(None, {"input.location": place}).chosen())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"environment_variables.DB_PASS": "x"}, True),
        ({"environment_variables": {"DB_PASS": "x"}}, True),
        ({"model.params": {"api_key": "x"}}, True),
        ({"environment_variables.MAX_TOKENS": "128"}, False),
        ({"columns.token": "score", "output.stage": Path("/s/token=a"), "input.columns": ["password"]}, False),
        ({}, False),
    ],
)
def test_a_request_is_kept_unless_it_holds_a_secret(settings: dict[str, object], expected: object) -> None:
    assert hold_secrets(settings) is expected
