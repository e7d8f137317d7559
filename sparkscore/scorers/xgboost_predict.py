"""Predict with an XGBoost Booster, without a ``DMatrix`` if the results are equal to the bit. Runs on the workers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from sparkscore.scorers.categories import CategoryMaker
from sparkscore.scorers.frames import to_row_matrix

Matrix = npt.NDArray[Any]

# Other boosters do not qualify: Dart weights its trees, and ``inplace_predict`` adds their results in another order.
# Linear models do not have ``inplace_predict``.
_SAME_BITS: Final = "gbtree"
_FLOATS: Final = frozenset({np.dtype(np.float32), np.dtype(np.float64)})
_FLOAT_TYPES: Final = frozenset({"float", "q"})


class BoosterMethod:
    """A Booster's method that can be called with a DataFrame or a matrix, and with the deployment's parameters.

    For a tree model and finite floats, ``inplace_predict`` is used instead of ``predict``: it is faster, and its
    results are equal to the bit. In all other cases, the method gets a ``DMatrix``.

    Args:
        booster: the loaded Booster.
        method: a method of the Booster.
        make: function that converts DataFrame columns to the model's categories, or None.
    """

    def __init__(self, booster: Any, method: Callable[..., Any], make: CategoryMaker | None) -> None:
        self._booster, self._method, self._make = booster, method, make
        self._has_categories = make is not None and make.has_categories
        self._is_fast = method == booster.predict and not self._has_categories and _is_plain(booster)
        self._names: list[str] | None = booster.feature_names

    def matrix_of(self, rows: pa.Table, params: Mapping[str, Any]) -> Matrix | None:
        """Return rows as a matrix that a call with the given parameters takes, or None if it needs a DataFrame.

        A matrix is made from Arrow's columns in one step. A DataFrame would be copied, and then compared with the rows
        to see whether the model has moved any.

        Args:
            rows: the columns that the model takes, with the model's names.
            params: the parameters of the call.
        """
        is_usual = self._is_fast and _are_usual(**params)
        if not is_usual or not rows.num_rows or self._names not in (None, rows.column_names):
            return None
        return _as_finite(to_row_matrix(rows))

    def __call__(self, data: pd.DataFrame | Matrix, missing: float = math.nan, **params: Any) -> Any:
        """Call the method.

        Args:
            data: a DataFrame, or a matrix that `matrix_of` returned for the same parameters.
            missing: the value that counts as missing, in addition to NaN.
            **params: the other parameters.
        """
        import xgboost

        made = data if self._make is None else self._make(data)
        values = made if isinstance(made, np.ndarray) else self._values_of(made, missing, params)
        if values is not None:
            return self._booster.inplace_predict(values, missing=missing, validate_features=False, **params)
        # XGBoost raises an error for pandas categories if the model was trained without any.
        matrix = xgboost.DMatrix(made, missing=missing, nthread=1, enable_categorical=self._has_categories)
        return self._method(matrix, **params)

    def _values_of(self, frame: pd.DataFrame, missing: object, params: Mapping[str, Any]) -> Matrix | None:
        """Return a DataFrame's values as a matrix, or None if ``DMatrix`` must check or convert them."""
        is_usual = self._is_fast and _are_usual(missing, **params)
        if not is_usual or not len(frame) or set(frame.dtypes) - _FLOATS:
            return None
        return _as_finite(frame.to_numpy()) if self._names in (None, list(frame.columns)) else None


def _are_usual(missing: object = math.nan, **params: object) -> bool:
    """Return whether ``inplace_predict`` takes a call's parameters."""
    return isinstance(missing, (int, float)) and not params.keys() - {"iteration_range"}


def _as_finite(matrix: Matrix | None) -> Matrix | None:
    """Return a matrix in single precision, or None if it has an infinite value there, which ``DMatrix`` refuses."""
    if matrix is None:
        return None
    with np.errstate(over="ignore"):
        values = matrix.astype(np.float32, copy=False)
    return None if np.isinf(values).any() else values


def _is_plain(booster: Any) -> bool:
    """Return whether a Booster adds the results of trees without weights, and all its features are floats."""
    learner = json.loads(booster.save_config())["learner"]
    types = set(booster.feature_types or ())
    return bool(learner["gradient_booster"]["name"] == _SAME_BITS) and types <= _FLOAT_TYPES
