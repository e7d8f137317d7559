"""Predict with an XGBoost Booster, without a ``DMatrix`` if the results are equal to the bit. Runs on the workers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from sparkscore.scorers.categories import CategoryMaker

# Other boosters do not qualify: Dart weights its trees, and ``inplace_predict`` adds their results in another order.
# Linear models do not have ``inplace_predict``.
_SAME_BITS: Final = "gbtree"
_FLOATS: Final = frozenset({np.dtype(np.float32), np.dtype(np.float64)})
_FLOAT_TYPES: Final = frozenset({"float", "q"})


def booster_method(booster: Any, method: Callable[..., Any], make: CategoryMaker | None) -> Callable[..., Any]:
    """Wrap a Booster's method so that it can be called with a DataFrame and the deployment's parameters.

    For a tree model and a DataFrame of finite floats, ``inplace_predict`` is used instead of ``predict``: it is faster,
    and its results are equal to the bit. In all other cases, the method gets a ``DMatrix``.

    Args:
        booster: the loaded Booster.
        method: a method of the Booster.
        make: function that converts DataFrame columns to the model's categories, or None.
    """
    import xgboost

    has_categories = make is not None and make.has_categories
    is_fast = method == booster.predict and not has_categories and _is_plain(booster)

    def called(frame: pd.DataFrame, missing: float = math.nan, **params: Any) -> Any:
        made = frame if make is None else make(frame)
        is_usual = is_fast and isinstance(missing, (int, float)) and not params.keys() - {"iteration_range"}
        values = _values_of(made, booster.feature_names) if is_usual else None
        if values is not None:
            return booster.inplace_predict(values, missing=missing, validate_features=False, **params)
        # XGBoost raises an error for pandas categories if the model was trained without any.
        matrix = xgboost.DMatrix(made, missing=missing, nthread=1, enable_categorical=has_categories)
        return method(matrix, **params)

    return called


def _is_plain(booster: Any) -> bool:
    """Return whether a Booster adds the results of trees without weights, and all its features are floats."""
    learner = json.loads(booster.save_config())["learner"]
    types = set(booster.feature_types or ())
    return bool(learner["gradient_booster"]["name"] == _SAME_BITS) and types <= _FLOAT_TYPES


def _values_of(frame: pd.DataFrame, names: list[str] | None) -> npt.NDArray[Any] | None:
    """Return a DataFrame's values as a matrix of floats, or None if ``DMatrix`` must check or convert them.

    ``DMatrix`` refuses infinity, and columns other than those used in training. ``inplace_predict`` accepts both.
    """
    if not len(frame) or set(frame.dtypes) - _FLOATS or (names is not None and names != list(frame.columns)):
        return None
    with np.errstate(over="ignore"):
        values = frame.to_numpy(dtype=np.float32)
    return None if np.isinf(values).any() else values
