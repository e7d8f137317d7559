"""What the workers get: files that stay, one key for one scorer, and dtypes that do not depend on the rows."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from sparkscore.minibatch import MiniBatchLimit
from sparkscore.scorers import ScriptSpec
from sparkscore.scorers.specs import MlflowSpec
from sparkscore.sql import SqlFunction, prepare_function
from sparkscore.sql.delivery import BySentFolder
from sparkscore.sql.spec import function_spec
from tests.support import flavors

Make = Callable[..., SqlFunction]


def test_two_functions_with_one_scorer_share_its_key_and_another_scorer_has_another(make: Make) -> None:
    one = make(name="one")
    spec = function_spec(one, BySentFolder(), 1)

    same = function_spec(one, BySentFolder(), 1)
    other = function_spec(make(name="two", environment_variables={"A": "b"}), BySentFolder(), 1)

    assert spec.engine.key == same.engine.key != other.engine.key
    assert pickle.loads(pickle.dumps(spec)) == spec  # noqa: S301 - written here


def test_a_script_gets_integers_with_the_dtype_of_a_column_with_nulls_unless_they_are_not_null(make: Make) -> None:
    function = make(
        input={"schema": "a int, b int NOT NULL, c boolean, d double"}, settings={"settings.mini_batch_size": 7}
    )

    spec = function_spec(function, BySentFolder(), 1)

    assert isinstance(spec.engine.scorer, ScriptSpec)
    assert spec.engine.scorer.dtypes.with_null == {"a", "c"}
    assert spec.limit == MiniBatchLimit(items=7)
    assert spec.result.carried == ("a",)


def test_a_function_of_files_carries_no_column(make: Make) -> None:
    spec = function_spec(make(input={"format": "files"}), BySentFolder(), 1)

    assert spec.is_files
    assert spec.result.carried == ()


def test_the_model_of_a_function_may_be_removed_after_the_registration(tmp_path: Path) -> None:
    flavors.save_sklearn(tmp_path / "heart")
    function = prepare_function("predict", tmp_path / "heart", {"trust": "code"})

    spec = function_spec(function, BySentFolder(), 1)

    assert isinstance(spec.engine.scorer, MlflowSpec)
    source = Path(spec.engine.scorer.files.source)
    assert source.is_dir()
    assert tmp_path not in source.parents
    assert spec.engine.scorer.files.file_name == "heart"
    assert function_spec(function, BySentFolder(), 1).engine.key == spec.engine.key


@pytest.mark.parametrize("retries", [0, 3])
def test_rows_are_tried_as_often_as_in_a_job(make: Make, retries: int) -> None:
    function = make(settings={"settings.retry_settings.max_retries": retries})

    assert function_spec(function, BySentFolder(), 1).tries == retries + 1
