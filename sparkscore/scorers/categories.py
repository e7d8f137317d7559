"""Convert columns to the categories that a LightGBM or XGBoost model was trained with. Runs on the workers.

Both libraries represent a category as a number: its position in a list. By default, pandas builds this list from the
values in the DataFrame. A mini-batch rarely contains all values of the training data, so its numbers may differ from
those in training.
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
    """A callable that converts DataFrame columns to the categories of a LightGBM or XGBoost model.

    Attributes:
        has_categories: whether an XGBoost model has categories. If so, its ``DMatrix`` needs ``enable_categorical``.
            Always False for LightGBM models, which do not need this option.
    """

    has_categories = False

    def __init__(self, library: str, unseen: dict[str, int]) -> None:
        self._is_refusing = library == "xgboost"
        self._unseen = unseen

    def __call__(self, frame: Any) -> Any:
        """Return a shallow copy of a DataFrame whose categorical columns have the model's categories.

        - If a LightGBM model has no category for a value, the value becomes NULL.
        - Other columns of dtype object become float64 if they contain nothing but booleans and NULLs.
        - If the number of columns differs from the model's, no categories are set.

        Any object that is not a DataFrame is returned unchanged.

        Raises:
            SignatureMismatchError: the values of a categorical column are not of the same type as the model's
                categories, or an XGBoost model has no category for a value.
            ModelLoadError: it cannot be determined which columns a LightGBM model's categories belong to.
        """
        if not isinstance(frame, pd.DataFrame):
            return frame
        lists = self._lists_for(frame)
        made = frame.copy(deep=False)
        for at, dtype in enumerate(frame.dtypes):
            if at in lists:
                made.isetitem(at, self._column(frame.iloc[:, at], lists[at]))
            elif dtype.kind == "O" and value_type_of_column(frame.iloc[:, at]) in {BOOLEAN, NOTHING}:
                # The column contains only booleans and NULLs. As doubles, they keep their values, and the libraries
                # accept them.
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
            # The same rows may be passed to several models or methods, but each value must be counted only once.
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

    LightGBM stores the lists of categories, but not which columns they belong to. The columns are therefore inferred
    from the dtypes and values of the first DataFrame that has as many columns as the model.
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
        if len(made) == len(self._stored):  # LightGBM also assigns the lists to the categorical columns in order.
            return made
        types = [value_type_of_column(column) for column in columns]
        # If no assignment fits the types of the columns, an assignment that ignores the types is used. `_column` then
        # raises an error that names the column with the wrong type.
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
    """Return the type of a column's values, or of its categories if the column is categorical.

    The result is one of the names that `value_type_of` returns.
    """
    values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
    return value_type_of(values)


def infos_of_lightgbm(text: str) -> list[str]:
    """Return the entries of ``feature_infos`` in a LightGBM model in text format.

    Each entry describes the training values of one feature; see `find_positions` for examples. If the text has no
    ``feature_infos``, the list is empty.
    """
    head = text.split("\nTree=", maxsplit=1)[0].splitlines()
    return next((line.partition("=")[2].split() for line in head if line.startswith("feature_infos=")), [])


def category_maker(model: Any, unseen: dict[str, int]) -> CategoryMaker | None:
    """Return a callable that converts DataFrames to a model's categories.

    Args:
        model: a LightGBM or XGBoost Booster or fitted estimator, or any other object.
        unseen: dictionary in which the callable records, for each column of a LightGBM model, the number of values that
            are not among the model's categories. Only the largest count of all calls is kept, because the same rows may
            be converted twice.

    Returns:
        the callable, or None if the model is not a LightGBM or XGBoost Booster or fitted estimator.

    Raises:
        ModelLoadError: an XGBoost model has categories, but does not store them completely.
    """
    library, booster = _booster_of(model)
    if library == "lightgbm" and booster is not None:
        return _OfLightgbm(booster, unseen)
    return _OfXgboost(booster, unseen) if library == "xgboost" else None


def use_own_categories(model: Any, unseen: dict[str, int]) -> None:
    """Patch LightGBM and XGBoost models so that they convert DataFrames to the model's categories before predicting.

    Methods such as ``predict`` are replaced with wrappers. XGBoost Boosters are left unchanged, because they take a
    ``DMatrix``; the code that creates the ``DMatrix`` must convert the DataFrame.

    Args:
        model: any loaded model. LightGBM and XGBoost estimators inside it, for example in a pipeline or grid search,
            are changed as well if `parts_of` finds them.
        unseen: dictionary in which the wrappers record, for each column of a LightGBM model, the number of values that
            are not among the model's categories.

    Raises:
        ModelLoadError: an XGBoost model has categories, but does not store them completely.
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
