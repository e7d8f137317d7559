from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sparkscore.errors import ConfigError
from sparkscore.sql import SqlFunction, prepare_function
from tests.support import flavors

Make = Callable[..., SqlFunction]


def test_a_deployment_without_a_chosen_name_gives_its_own(make: Make) -> None:
    assert make(None, name="heart-model").name == "heart_model"


def test_a_model_with_a_signature_is_a_function_by_itself(tmp_path: Path) -> None:
    flavors.save_sklearn(tmp_path / "heart")

    function = prepare_function("predict", tmp_path / "heart", {"trust": "code"})

    assert [each.name for each in function.arguments] == flavors.FEATURES
    assert function.outputs.names == ["prediction", "error", "model_version"]
    assert (function.model_version or "").startswith("sha256:")
    assert function.scorer.startswith("model heart, version sha256:")
    assert function.example().startswith("predict(f0 => f0, f1 => f1")


def test_settings_of_the_section_are_the_functions(make: Make) -> None:
    function = make(sql={"comment": "of a patient", "on_error": "raise", "deterministic": False})

    assert (function.comment, function.raises, function.is_deterministic) == ("of a patient", True, False)
    assert make(name="other", settings={"sql.on_error": "raise"}).raises


def test_a_name_that_sql_cannot_call_is_refused(make: Make) -> None:
    with pytest.raises(ConfigError, match="SQL_NAME"):
        make("heart-model")


def test_a_script_that_carries_no_columns_has_a_table_function(make: Make) -> None:
    assert make(output={"schema": "risk double", "carry": []}).has_table


def test_a_script_that_carries_columns_has_none(make: Make) -> None:
    assert not make(output={"schema": "risk double", "carry": ["age"]}).has_table
