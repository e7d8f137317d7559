from __future__ import annotations

import json
import re
from pathlib import Path

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparkscore.config import load_deployment
from sparkscore.errors import ConfigError

# A number without a point, like 1e3, is a number in YAML 1.2 and here; PyYAML writes such a text without quotes.
_NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8).filter(
    lambda text: not re.fullmatch(r"[-+]?[0-9]+[eE][-+]?[0-9]+", text)
)
_WORDS = st.text("abcxyz é漢-_", min_size=1, max_size=8).filter(lambda text: text.strip() == text)
_TREES = st.fixed_dictionaries(
    {},
    optional={
        "$schema": st.sampled_from(
            ["https://azuremlschemas.azureedge.net/latest/batchDeployment.schema.json", "sparkscore.json"]
        ),
        "name": _NAMES,
        "model": _WORDS | st.fixed_dictionaries({"path": _WORDS}, optional={"version": st.integers() | _NAMES}),
        "tags": st.dictionaries(_WORDS, st.none() | st.integers() | _NAMES | st.lists(_NAMES), max_size=2),
        "environment": _NAMES,
        "environment_variables": st.dictionaries(_WORDS, st.booleans() | st.integers() | _NAMES, max_size=2),
        "mini_batch_size": st.integers(1, 10**9) | st.sampled_from(["5", "2KB", "1 MB"]),
        "error_threshold": st.integers(-1, 100),
        "retry_settings": st.fixed_dictionaries({}, optional={"max_retries": st.integers(0, 9)}),
        "input": st.fixed_dictionaries(
            {},
            optional={
                "location": _WORDS | st.lists(_WORDS, max_size=2),
                "format": st.sampled_from(["csv", "files"]),
                "options": st.dictionaries(_WORDS, _NAMES, max_size=2),
                "version": st.integers(0, 9),
            },
        ),
        "output": st.fixed_dictionaries(
            {},
            optional={"carry": st.lists(_NAMES, max_size=2, unique=True), "schema": st.just("a int, b array<double>")},
        ),
        "columns": st.dictionaries(_NAMES, _NAMES, max_size=2),
    },
)


@given(tree=_TREES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_effective_deployment_loads_again_as_it_was(tree: dict[str, object], tmp_path: Path) -> None:
    first, second = tmp_path / "first.yml", tmp_path / "deeper" / "second.yml"
    second.parent.mkdir(exist_ok=True)
    first.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")

    deployment = load_deployment(first)
    second.write_text(json.dumps(deployment.effective()), encoding="utf-8")
    again = load_deployment(second)

    assert again == deployment
    assert again.effective() == deployment.effective()
    assert again.is_azure is deployment.is_azure


@given(tree=st.dictionaries(_NAMES, st.recursive(st.none() | st.integers() | _NAMES, st.lists), max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_mapping_is_loaded_or_refused(tree: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "any.yml"
    path.write_text(json.dumps(tree), encoding="utf-8")

    try:
        load_deployment(path)
    except ConfigError as error:
        assert error.code in {"CONFIG_KIND", "CONFIG_UNKNOWN_KEY", "CONFIG_VALUE"}  # noqa: PT017 - both ends are fine
