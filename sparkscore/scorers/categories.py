"""Convert columns to the categories that a LightGBM or XGBoost model was trained with (worker).

Both libraries take a category as a number, the position of the category in a list. By default, pandas makes this list
from the values in the DataFrame. A mini-batch rarely has all values of the training data, so its numbers may differ
from the numbers in training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Final

import numpy as np
import pandas as pd

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SignatureMismatchError
from sparkscore.scorers.category_lists import (
    BOOLEAN,
    NOTHING,
    find_positions,
    lists_of_xgboost,
    no_lists,
    value_type_of,
)
from sparkscore.scorers.estimators import parts_of

_CAST_ADVICE: Final = "Cast the column beforehand; for CSV and JSON files, set its type in 'input.schema'."
_ROW_ADVICE: Final = "Correct the input, or tolerate such rows with 'settings.error_threshold'."
_METHODS: Final = ("predict", "predict_proba", "predict_log_proba", "decision_function", "apply")


class CategoryMaker:
    """A callable that converts the columns of a DataFrame to the categories of one LightGBM or XGBoost model.

    Attributes:
        has_categories: whether an XGBoost model has categories, so that its ``DMatrix`` needs ``enable_categorical``.
            False for each LightGBM model, which needs no such option.
    """

    has_categories = False

    def __init__(self, library: str, unseen: dict[str, int]) -> None:
        self._is_refusing = library == "xgboost"
        self._unseen = unseen

    def __call__(self, frame: Any) -> Any:
        """Return a shallow copy of a DataFrame in which the categorical columns have the categories of the model.

        A value that a LightGBM model has no category for becomes NULL. A column of dtype object that is not categorical
        becomes float64 if it holds only booleans, only NULLs, or both. Categories are not set if the DataFrame has more
        or fewer columns than the model. An object that is not a DataFrame is returned unchanged.

        Raises:
            SignatureMismatchError: the values of a categorical column have a different type than the categories of the
                model, or an XGBoost model has no category for a value.
            ModelLoadError: it cannot be determined which columns have the categories of a LightGBM model.
        """
        if not isinstance(frame, pd.DataFrame):
            return frame
        lists = self._lists_for(frame)
        made = frame.copy(deep=False)
        for at, dtype in enumerate(frame.dtypes):
            if at in lists:
                made.isetitem(at, self._column(frame.iloc[:, at], lists[at]))
            elif dtype.kind == "O" and value_type_of_column(frame.iloc[:, at]) in {BOOLEAN, NOTHING}:
                # Booleans and NULLs, or only NULLs. The library accepts doubles, which hold these values exactly.
                made.isetitem(at, frame.iloc[:, at].to_numpy(dtype="float64", na_value=np.nan))
        return made

    def _lists_for(self, frame: pd.DataFrame) -> Mapping[int, pd.Index[Any]]:
        raise NotImplementedError

    def _column(self, column: pd.Series[Any], categories: pd.Index[Any]) -> Any:
        if isinstance(column.dtype, pd.CategoricalDtype) and column.dtype.categories.equals(categories):
            return column
        found, wanted = value_type_of_column(column), value_type_of(categories)
        if NOTHING not in {found, wanted} and found != wanted:
            raise _mismatch(
                str(column.name), f"type '{found}'", f"type '{wanted}', as in the model's categories", _CAST_ADVICE
            )
        made = pd.Categorical(np.asarray(column), categories=categories)
        unseen = int(((made.codes == -1) & column.notna().to_numpy()).sum())
        if unseen and self._is_refusing:
            raise _mismatch(
                str(column.name),
                f"{unseen} values that are not among the {len(categories)} categories of the model",
                "values that XGBoost was trained with: it raises an error for others",
            )
        if unseen:
            # The same rows may be passed to several models, or to several methods of a model: count each value once.
            self._unseen[str(column.name)] = max(unseen, self._unseen.get(str(column.name), 0))
        return made


class _OfXgboost(CategoryMaker):
    def __init__(self, booster: Any, unseen: dict[str, int]) -> None:
        super().__init__("xgboost", unseen)
        self._lists = lists_of_xgboost(booster)
        self._width = len(booster.feature_types or ())
        self.has_categories = bool(self._lists)

    def _lists_for(self, frame: pd.DataFrame) -> Mapping[int, pd.Index[Any]]:
        return self._lists if frame.shape[1] == self._width else {}


class _OfLightgbm(CategoryMaker):
    """The `CategoryMaker` for a LightGBM model.

    LightGBM stores the lists of categories, but not the columns that they belong to. So the columns are determined from
    the dtypes and values of the first DataFrame that is converted and has as many columns as the model.
    """

    def __init__(self, booster: Any, unseen: dict[str, int]) -> None:
        super().__init__("lightgbm", unseen)
        self._stored: Sequence[Any] = booster.pandas_categorical or ()
        self._infos = infos_of_lightgbm(booster.model_to_string(num_iteration=1)) if self._stored else []
        self._positions: Sequence[int] | None = None

    def _lists_for(self, frame: pd.DataFrame) -> Mapping[int, pd.Index[Any]]:
        if not self._stored or frame.shape[1] != len(self._infos):
            return {}
        if self._positions is None:
            self._positions = self._find_positions(frame)
        return {at: pd.Index(each) for at, each in zip(self._positions, self._stored, strict=True)}

    def _find_positions(self, frame: pd.DataFrame) -> Sequence[int]:
        columns = [frame.iloc[:, at] for at in range(frame.shape[1])]
        made = [at for at, column in enumerate(columns) if isinstance(column.dtype, pd.CategoricalDtype)]
        if len(made) == len(self._stored):  # LightGBM itself also assigns the lists to the categorical columns
            return made
        types = [value_type_of_column(column) for column in columns]
        # If no assignment fits the types of the columns, one that ignores the types is used. Then `_column` raises an
        # error that names the column whose type is wrong.
        positions = find_positions(self._infos, self._stored, types) or find_positions(self._infos, self._stored)
        if positions is None:
            raise no_lists(
                f"{len(self._stored)} lists, each of which several columns may have",
                "one column for each list: LightGBM does not store which columns are categories",
                "Train the model without ordered categories and without 'categorical_feature', or give the deployment "
                "a scoring script.",
            )
        return positions


def value_type_of_column(column: pd.Series[Any]) -> str:
    """Return the type of a column's values, as `value_type_of` names it.

    For a categorical column, return the type of its categories.
    """
    values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
    return value_type_of(values)


def infos_of_lightgbm(text: str) -> list[str]:
    """Read LightGBM's description of each feature from a model in text format, and return these descriptions.

    A description is an entry of ``feature_infos``, and describes the values in the training data. `find_positions` has
    examples. The result is an empty list if the text has no ``feature_infos``.
    """
    head = text.split("\nTree=", maxsplit=1)[0].splitlines()
    return next((line.partition("=")[2].split() for line in head if line.startswith("feature_infos=")), [])


def category_maker(model: Any, unseen: dict[str, int]) -> CategoryMaker | None:
    """Return a callable that converts DataFrames to the categories of a model.

    Args:
        model: a Booster of LightGBM or XGBoost, a fitted estimator of these libraries, or any other object.
        unseen: dictionary in which the callable stores, by column, the number of values that a LightGBM model has no
            category for. A number is replaced only with a larger one, because the same rows may be converted twice.

    Returns:
        the callable, or None if the model is not a Booster or fitted estimator of LightGBM or XGBoost.

    Raises:
        ModelLoadError: an XGBoost model has categories, but does not store their values completely.
    """
    library, booster = _booster_of(model)
    if library == "lightgbm" and booster is not None:
        return _OfLightgbm(booster, unseen)
    return _OfXgboost(booster, unseen) if library == "xgboost" else None


def use_own_categories(model: Any, unseen: dict[str, int]) -> None:
    """Make each LightGBM and XGBoost model inside a model convert DataFrames to its own categories before it predicts.

    Methods such as ``predict`` are replaced with wrappers. A Booster of XGBoost is not changed, because it takes a
    ``DMatrix`` instead of a DataFrame; the code that makes the ``DMatrix`` must convert the DataFrame.

    Args:
        model: any loaded model. LightGBM and XGBoost estimators inside it are changed, too, if `parts_of` finds them,
            for example in a pipeline or a grid search.
        unseen: dictionary in which the wrappers store, by column, the number of values that a LightGBM model has no
            category for.

    Raises:
        ModelLoadError: an XGBoost model has categories, but does not store their values completely.
    """
    for part in [model, *parts_of(model, set())]:
        if _is_booster(part, "xgboost"):
            continue
        maker = category_maker(part, unseen)
        for name in _METHODS if maker is not None else ():
            method = getattr(part, name, None)
            if callable(method) and not hasattr(method, "makes_categories"):
                setattr(part, name, _with_categories(method, maker))


def _with_categories(method: Callable[..., Any], make: CategoryMaker | None) -> Callable[..., Any]:
    @wraps(method)
    def called(*arguments: Any, **options: Any) -> Any:
        if make is not None and arguments:
            arguments = (make(arguments[0]), *arguments[1:])
        elif make is not None and "X" in options:
            options["X"] = make(options["X"])
        return method(*arguments, **options)

    called.makes_categories = True  # type: ignore[attr-defined] # read by use_own_categories
    return called


def _booster_of(model: Any) -> tuple[str, Any]:
    if _is_booster(model, "lightgbm") or _is_booster(model, "xgboost"):
        return type(model).__module__.partition(".")[0], model
    library = next((each for each in map(_library_of, type(model).__mro__) if each), "")
    if library == "lightgbm":
        return library, getattr(model, "_Booster", None)
    if library == "xgboost" and getattr(model, "_Booster", None) is not None:
        return library, model.get_booster()
    return "", None


def _is_booster(model: Any, library: str) -> bool:
    return type(model).__name__ == "Booster" and type(model).__module__.startswith(f"{library}.")


def _library_of(class_: type) -> str:
    found = class_.__module__.partition(".")[0]
    return found if found in {"lightgbm", "xgboost"} else ""


def _mismatch(column: str, got: str, expected: str, next_step: str = _ROW_ADVICE) -> SignatureMismatchError:
    return SignatureMismatchError(
        code=ErrorCode.MODEL_INPUT_VALUE,
        what=f"input column '{column}'",
        got=got,
        expected=expected,
        next_step=next_step,
    )
