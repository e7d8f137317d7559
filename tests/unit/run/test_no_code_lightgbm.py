"""A LightGBM model's file gets its columns as the pickled Booster does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sparkscore.config import Model
from sparkscore.digest import digest_of_path
from sparkscore.errors import SignatureMismatchError
from sparkscore.models import ResolvedModel
from sparkscore.models.framework_model import describe_framework
from sparkscore.run.no_code import match_model
from sparkscore.scorers.feature_names import find_named, take_named
from sparkscore.scorers.feed import feed_columns
from sparkscore.spark.schema import from_arrow

RANDOM = np.random.default_rng(1)
X = pd.DataFrame({"b c": RANDOM.normal(size=80), "a": RANDOM.normal(size=80)})
GIVEN = pa.table({"a": [1.0], "other": [5.0], "b c": [2.0]})


def columns_by_name(rows: pa.Table, model: Any, order_doubt: str) -> pa.Table:
    return take_named(rows, find_named(rows, model, order_doubt))


def trained(x: Any) -> lightgbm.Booster:
    return lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(x, X["a"] * 3 - X["b c"]), 2)


def fed(booster: lightgbm.Booster, folder: Path, rows: pa.Table, order_doubt: str = "", **inputs: Any) -> pa.Table:
    """Give what the model gets of the rows from its file."""
    file = folder / "m.txt"
    booster.save_model(file)
    model = ResolvedModel(file, "m", "1", digest_of_path(file))
    section = Model.model_validate({"path": str(file), **inputs})
    feeds = match_model(describe_framework(model, "lightgbm"), section, model, from_arrow(rows.schema), order_doubt)
    assert feeds is not None
    return feed_columns(rows, feeds)


@pytest.mark.parametrize("names", [["b c", "a"], ["a", "b c"], ["é x  y", " "], ["b_c", "a"], ["b_c d", "b c"]])
def test_columns_with_blanks_in_their_names_are_those_of_the_pickled_booster(names: list[str], tmp_path: Path) -> None:
    booster, rows = trained(X.set_axis(names, axis=1)), pa.table({names[1]: [1.0], "z": [5.0], names[0]: [2.0]})

    taken = fed(booster, tmp_path, rows, "the order is not known")

    assert taken.to_pydict() == columns_by_name(rows, booster, "the order is not known").to_pydict()
    assert list(taken.to_pydict().values()) == [[2.0], [1.0]]


def test_two_columns_that_lightgbm_writes_alike_are_refused_and_told_apart_by_the_line(tmp_path: Path) -> None:
    rows = GIVEN.append_column("b_c", pa.array([9.0]))

    with pytest.raises(SignatureMismatchError, match=r"'b_c'.*model\.inputs: {b_c: \[COLUMN\]}"):
        fed(trained(X), tmp_path, rows)
    assert fed(trained(X), tmp_path, rows, inputs={"b_c": ["b c"]}).to_pydict() == {"b_c": [2.0], "a": [1.0]}


def test_the_librarys_own_names_count_where_the_input_has_them_all(tmp_path: Path) -> None:
    booster, rows = trained(X.to_numpy()), pa.table({"Column_1": [1.0], "Column_0": [2.0], "z": [5.0]})

    taken = fed(booster, tmp_path, rows, "the order is not known")

    assert list(taken.to_pydict().values()) == [[2.0], [1.0]]
    assert list(fed(booster, tmp_path, GIVEN.select(["a", "b c"])).to_pydict().values()) == [[1.0], [2.0]]
    with pytest.raises(SignatureMismatchError, match="the order is not known"):
        fed(booster, tmp_path, GIVEN.select(["a", "b c"]), "the order is not known")


def test_a_missing_column_is_named_as_before(tmp_path: Path) -> None:
    with pytest.raises(SignatureMismatchError, match=r"SIGNATURE_MISMATCH.*'b_c'"):
        fed(trained(X), tmp_path, GIVEN.select(["a", "other"]))
