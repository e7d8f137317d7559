"""Make categories of columns by a tree model's own lists, never by those of a mini-batch (worker)."""

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
    kind_of_values,
    lists_of_xgboost,
    no_lists,
    places_of_lists,
)
from sparkscore.scorers.estimators import parts_of

_CAST_ADVICE: Final = "Cast the column beforehand; for CSV and JSON files 'input.schema' says the type."
_ROW_ADVICE: Final = "Correct the input, or tolerate such rows with 'settings.error_threshold'."
_METHODS: Final = ("predict", "predict_proba", "predict_log_proba", "decision_function", "apply")


class CategoryMaker:
    """What one tree model needs of its DataFrame.

    Attributes:
        has_categories: whether XGBoost has to be told that there are categories.
    """

    has_categories = False

    def __init__(self, library: str, unseen: dict[str, int]) -> None:
        self._is_refusing = library == "xgboost"
        self._unseen = unseen

    def __call__(self, frame: Any) -> Any:
        """Give a DataFrame whose columns have the model's categories; anything else as it is.

        Raises:
            SignatureMismatchError: a column is of another kind than its list, or holds what XGBoost does not know.
            ModelLoadError: it is not known which columns the lists are of.
        """
        if not isinstance(frame, pd.DataFrame):
            return frame
        lists = self._lists_for(frame)
        made = frame.copy(deep=False)
        for at, dtype in enumerate(frame.dtypes):
            if at in lists:
                made.isetitem(at, self._column(frame.iloc[:, at], lists[at]))
            elif dtype.kind == "O" and kind_of_column(frame.iloc[:, at]) in {BOOLEAN, NOTHING}:
                # Booleans beside NULL; the library takes doubles, which hold both exactly.
                made.isetitem(at, frame.iloc[:, at].to_numpy(dtype="float64", na_value=np.nan))
        return made

    def _lists_for(self, frame: pd.DataFrame) -> Mapping[int, pd.Index[Any]]:
        raise NotImplementedError

    def _column(self, column: pd.Series[Any], categories: pd.Index[Any]) -> Any:
        if isinstance(column.dtype, pd.CategoricalDtype) and column.dtype.categories.equals(categories):
            return column
        found, wanted = kind_of_column(column), kind_of_values(categories)
        if NOTHING not in {found, wanted} and found != wanted:
            raise _mismatch(
                str(column.name), f"kind '{found}'", f"kind '{wanted}', as the model's list has it", _CAST_ADVICE
            )
        made = pd.Categorical(np.asarray(column), categories=categories)
        unseen = int(((made.codes == -1) & column.notna().to_numpy()).sum())
        if unseen and self._is_refusing:
            raise _mismatch(
                str(column.name),
                f"{unseen} values that are not among the {len(categories)} categories of the model",
                "values that XGBoost has been trained with: it raises for others",
            )
        if unseen:
            # The same rows may go to several models, or to several methods of one.
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
    """Which columns the lists are of may become known with the first rows only."""

    def __init__(self, booster: Any, unseen: dict[str, int]) -> None:
        super().__init__("lightgbm", unseen)
        self._stored: Sequence[Any] = booster.pandas_categorical or ()
        self._infos = infos_of_lightgbm(booster.model_to_string(num_iteration=1)) if self._stored else []
        self._places: Sequence[int] | None = None

    def _lists_for(self, frame: pd.DataFrame) -> Mapping[int, pd.Index[Any]]:
        if not self._stored or frame.shape[1] != len(self._infos):
            return {}
        if self._places is None:
            self._places = self._places_in(frame)
        return {at: pd.Index(each) for at, each in zip(self._places, self._stored, strict=True)}

    def _places_in(self, frame: pd.DataFrame) -> Sequence[int]:
        columns = [frame.iloc[:, at] for at in range(frame.shape[1])]
        made = [at for at, column in enumerate(columns) if isinstance(column.dtype, pd.CategoricalDtype)]
        if len(made) == len(self._stored):  # so does LightGBM
            return made
        kinds = [kind_of_column(column) for column in columns]
        # Where no column is of a list's kind, the list's own column is refused by its name.
        places = places_of_lists(self._infos, self._stored, kinds) or places_of_lists(self._infos, self._stored)
        if places is None:
            raise no_lists(
                f"{len(self._stored)} lists, which may be those of several columns",
                "one column for each list: LightGBM does not store which columns are categories",
                "Train the model without ordered categories and without 'categorical_feature', or give the deployment "
                "a scoring script.",
            )
        return places


def kind_of_column(column: pd.Series[Any]) -> str:
    """Say of which kind a column's values are."""
    values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
    return kind_of_values(values)


def infos_of_lightgbm(text: str) -> list[str]:
    """Read what a LightGBM model says of each feature, from the lines above its first tree."""
    head = text.split("\nTree=", maxsplit=1)[0].splitlines()
    return next((line.partition("=")[2].split() for line in head if line.startswith("feature_infos=")), [])


def category_maker(model: Any, unseen: dict[str, int]) -> CategoryMaker | None:
    """Give what prepares the DataFrame of a Booster, or of a fitted estimator that holds one; None for other models.

    Raises:
        ModelLoadError: the model has categories without a list.
    """
    library, booster = _booster_of(model)
    if library == "lightgbm" and booster is not None:
        return _OfLightgbm(booster, unseen)
    return _OfXgboost(booster, unseen) if library == "xgboost" else None


def use_own_categories(model: Any, unseen: dict[str, int]) -> None:
    """Let each tree model in a model make the categories of the DataFrame that reaches it, wherever it is.

    Changes the loaded model. A Booster of XGBoost takes no DataFrame; who calls it makes the categories.

    Raises:
        ModelLoadError: a model has categories without a list.
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

    called.makes_categories = True  # type: ignore[attr-defined] # for use_own_categories
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


def _library_of(kind: type) -> str:
    found = kind.__module__.partition(".")[0]
    return found if found in {"lightgbm", "xgboost"} else ""


def _mismatch(column: str, got: str, expected: str, next_step: str = _ROW_ADVICE) -> SignatureMismatchError:
    return SignatureMismatchError(
        code=ErrorCode.MODEL_INPUT_VALUE,
        what=f"input column '{column}'",
        got=got,
        expected=expected,
        next_step=next_step,
    )
