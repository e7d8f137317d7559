from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from sparkscore.config import deployment_json_schema, load_deployment
from sparkscore.config.json_schema import known_keys
from sparkscore.errors import ConfigError

Write = Callable[[str], Path]

_GOOD = [
    "{}",
    "name: a",
    "name:\ninput:\nsettings:\n  mini_batch_size:\n",
    "model: m.pkl",
    "model: {path: m.pkl, version: 3, type: mlflow_model, tags: {a: null}}",
    "model: {path: m.pkl, version: '3', sha256: " + "ab" * 32 + "}",
    "code_configuration: {scoring_script: s.py}",
    "code_configuration: {scoring_script: s.py, arguments: '--n 5'}",
    "code_configuration: {scoring_script: s.py, arguments: [--n, 5, true]}",
    "environment: azureml:env:1",
    "environment: {conda_file: {dependencies: [pip]}, image: x}",
    "environment_variables: {A: 1, B: true, C: x}",
    "mini_batch_size: 10",
    "settings: {mini_batch_size: 10}",
    "settings: {mini_batch_size: '1 MB', retry_settings: {timeout: 5}}",
    "retry_settings: {max_retries: 2}",
    "settings: {environment_variables: {A: b}, instance_count: 2}",
    "mini_batch_size:\nsettings: {mini_batch_size: 5}",
    "allowed_failed_percent: 12.5",
    "logging_level: DEBUG",
    "input: {location: /a, format: csv, options: {header: true, sep: ';'}, schema: 'a int'}",
    "input: {location: [/a, /b], columns: [x], dtypes: arrow, version: 0}",
    "output: {partition_by: day, carry: [], schema: 'label string', mode: append, format: parquet}",
    "output: {partition_by: [a, b]}",
    "columns: {a: b}",
    "isolation: process\nchunk_size: 5\ntrust: code\npublish: auto",
    "models: {a: models/a, b: {path: models/b, version: 2}}",
    "model: {path: m.onnx, inputs: {x: [a, b], y: c}, session_options: {enable_mem_pattern: false}}",
    "resources: {instance_count: 1, instance_type: [a], docker_args: -x}",
    "tags: {a: {b: [1]}}",
]
_BAD = [
    "[]",
    "nam: a",
    "name: 5",
    "name: ''",
    "type: batch",
    "model: 5",
    "model: ''",
    "model: {name: a}",
    "model: {path: }",
    "model: {path: m, sha: x}",
    "model: {path: m, sha256: xyz}",
    "code_configuration: {code: src}",
    "code_configuration: {scoring_script: }",
    "code_configuration: {scoring_script: s.py, arguments: {a: b}}",
    "environment: {conda: x}",
    "environment_variables: {A: [b]}",
    "environment_variables: {A: }",
    "settings: {mini_batchsize: 10}",
    "settings: 5",
    "mini_batch_size: 0",
    "mini_batch_size: 1XB",
    "mini_batch_size: true",
    "mini_batch_size: 5\nsettings: {mini_batch_size: 5}",
    "retry_settings: {timeout: 5}\nsettings: {retry_settings: {}}",
    "environment_variables: {A: b}\nsettings: {environment_variables: {A: b}}",
    "resources: {instance_count: 1}\nsettings: {instance_count: 1}",
    "retry_settings: {tries: 3}",
    "error_threshold: -2",
    "error_threshold: 1.5",
    "allowed_failed_percent: 101",
    "logging_level: loud",
    "output_action: append",
    "input: {format: xml}",
    "input: {location: 5}",
    "input: {columns: x}",
    "output: {mode: replace}",
    "columns: {a: 5}",
    "chunk_size: 0",
    "isolation: thread",
    "tags: a",
]


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = deployment_json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def _is_loaded(path: Path) -> bool:
    try:
        load_deployment(path)
    except ConfigError as error:
        assert error.code in {"CONFIG_VALUE", "CONFIG_UNKNOWN_KEY", "CONFIG_YAML"}  # noqa: PT017 - the caller judges
        return False
    return True


@pytest.mark.parametrize("text", _GOOD)
def test_what_the_loader_accepts_the_schema_accepts(text: str, write: Write, validator: Draft202012Validator) -> None:
    assert list(validator.iter_errors(yaml.safe_load(text))) == []
    assert _is_loaded(write(text))


@pytest.mark.parametrize("text", _BAD)
def test_what_the_loader_refuses_the_schema_refuses(text: str, write: Write, validator: Draft202012Validator) -> None:
    assert not validator.is_valid(yaml.safe_load(text))
    assert not _is_loaded(write(text))


def test_azures_files_are_valid(azure_flat: str, azure_nested: str, validator: Draft202012Validator) -> None:
    assert validator.is_valid(yaml.safe_load(azure_flat))
    assert validator.is_valid(yaml.safe_load(azure_nested))


def test_an_effective_deployment_is_valid(write: Write, azure_flat: str, validator: Draft202012Validator) -> None:
    effective = load_deployment(write(azure_flat)).effective()

    assert list(validator.iter_errors(effective)) == []


def test_the_schema_names_its_dialect_and_describes_every_key() -> None:
    schema = deployment_json_schema()

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(schema)) == schema
    sections = [schema, *schema["$defs"].values()]
    described = [text for section in sections for text in section["properties"].values()]
    # a section that says nothing itself is described where it is defined
    assert [text for text in described if "description" not in text and "$ref" not in json.dumps(text)] == []
    assert all(section["description"] for section in sections)


def test_a_schema_that_was_changed_does_not_change_the_next() -> None:
    deployment_json_schema()["properties"].clear()

    assert deployment_json_schema()["properties"]


def test_known_keys_hold_every_place_of_a_setting() -> None:
    keys = known_keys()

    assert "mini_batch_size" in keys
    assert isinstance(keys["settings"], dict)
    assert {"mini_batch_size", "environment_variables", "instance_count"} <= keys["settings"].keys()
    assert keys["retry_settings"] == keys["settings"]["retry_settings"] == {"max_retries": None, "timeout": None}
    assert keys["tags"] is None
