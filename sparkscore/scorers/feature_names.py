"""Find the names of the columns that a loaded model was trained with, whatever library it is of (worker)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SignatureMismatchError, names
from sparkscore.signature.matching import order_advice

# What libraries call columns that nobody named: LightGBM's Column_0, XGBoost's f0.
_DEFAULTS: Final = ("Column_{}", "f{}")
_LIBRARIES: Final = frozenset({"sklearn", "xgboost", "lightgbm"})


def find_named(rows: pa.Table, model: Any, order_doubt: str) -> list[tuple[str, str]]:
    """Find the columns that a model was trained with, in its order; all of them where it has no names.

    A library's default names count where the input has them all; LightGBM writes an underscore for a blank.

    Returns:
        each column with the name that the model knows it by.

    Raises:
        SignatureMismatchError: a column is missing, or the columns have no order and the model takes them by position.
    """
    features = feature_names(model)
    if features is None or (_are_defaults(features) and not set(features) <= set(rows.column_names)):
        if order_doubt and rows.num_columns > 1 and _is_of_a_library(model):
            raise _no_order(rows, order_doubt)
        return [(name, name) for name in rows.column_names]
    found = find_columns(features, rows.column_names, has_blanks=_is_of_lightgbm(model))
    missing = [feature for feature, column in zip(features, found, strict=True) if column is None]
    if missing:
        raise SignatureMismatchError(
            code=ErrorCode.MODEL_INPUT,
            what="input of the model",
            got=f"the columns {names(rows.column_names)}",
            expected=f"also {names(missing)}, each once",
            next_step="Correct the input, or give the deployment a scoring script.",
        )
    return [(str(column), feature) for feature, column in zip(features, found, strict=True)]


def take_named(rows: pa.Table, found: Sequence[tuple[str, str]]) -> pa.Table:
    """Give a model its columns, by the names that it knows them by."""
    return rows.select([column for column, _ in found]).rename_columns([name for _, name in found])


def feature_names(model: Any) -> tuple[str, ...] | None:
    """Give the names of the model's columns, in its order; None where it knows none."""
    return next((found for part in _parts(model) if (found := _own_names(part))), None)


def find_columns(features: Sequence[str], columns: Sequence[str], *, has_blanks: bool) -> list[str | None]:
    """Find the model's columns among those of the input; None for one that is missing, or that two may be."""
    by_feature: dict[str, set[str]] = {}
    for column in columns:
        for spelling in (column, column.replace(" ", "_") if has_blanks else column):
            by_feature.setdefault(spelling, set()).add(column)
    found = [by_feature.get(feature, set()) for feature in features]
    return [next(iter(each)) if len(each) == 1 else None for each in found]


def _are_defaults(found: Sequence[str]) -> bool:
    return any(list(found) == [default.format(at) for at in range(len(found))] for default in _DEFAULTS)


def _parts(model: Any) -> Iterator[Any]:
    """Give the model, and the first step of a pipeline that changes the columns."""
    yield model
    for _, step in getattr(model, "steps", None) or ():
        if step is not None and not isinstance(step, str):
            yield step
            return


def _own_names(model: Any) -> tuple[str, ...] | None:
    kind = f"{type(model).__module__.partition('.')[0]}.{type(model).__name__}"
    if kind == "lightgbm.Booster":
        return tuple(model.feature_name())
    found = model.feature_names if kind == "xgboost.Booster" else getattr(model, "feature_names_in_", None)
    return None if found is None else tuple(str(name) for name in found)


def _is_of_lightgbm(model: Any) -> bool:
    return any(type(part).__module__.startswith("lightgbm.") for part in _parts(model))


def _is_of_a_library(model: Any) -> bool:
    return any(base.__module__.partition(".")[0] in _LIBRARIES for base in type(model).__mro__)


def _no_order(rows: pa.Table, order_doubt: str) -> SignatureMismatchError:
    return SignatureMismatchError(
        code=ErrorCode.MODEL_INPUT,
        what="the model has no names of columns, so it takes them by position",
        got=order_doubt,
        expected="columns in an order that is known",
        next_step=order_advice(rows.column_names),
    )
