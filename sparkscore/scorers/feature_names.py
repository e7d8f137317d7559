"""Find the names of the columns that a loaded model was trained with. Runs on the workers.

This works for XGBoost and LightGBM Boosters, for models with a ``feature_names_in_`` attribute, and for pipelines whose
first step is one of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SignatureMismatchError, names
from sparkscore.signature.matching import order_advice

# Names that the libraries give to unnamed columns: Column_0 in LightGBM, f0 in XGBoost.
_DEFAULTS: Final = ("Column_{}", "f{}")
_LIBRARIES: Final = frozenset({"sklearn", "xgboost", "lightgbm"})


def find_named(rows: pa.Table, model: Any, order_doubt: str) -> list[tuple[str, str]]:
    """Find the input columns that a model was trained with, in the model's order.

    All input columns are returned, in their order, if the model has no column names. The same is true if the model has
    only default names, such as ``Column_0``, and the input does not have all of these columns.

    LightGBM replaces spaces in column names with underscores, so for its models, an input column with spaces in its
    name is also found.

    Args:
        rows: the rows of the input.
        model: the loaded model.
        order_doubt: why the order of the input columns is unknown, or an empty string if it is known.

    Returns:
        one (name in the input, name in the model) pair for each column. If all input columns are returned, both names
        are the name in the input.

    Raises:
        SignatureMismatchError: no input column, or more than one, matches a column of the model; or a scikit-learn,
            XGBoost or LightGBM model takes columns by position, and the order of the input columns is unknown.
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
    """Select the columns that `find_named` returned, and rename them to their names in the model."""
    return rows.select([column for column, _ in found]).rename_columns([name for _, name in found])


def feature_names(model: Any) -> tuple[str, ...] | None:
    """Return a model's feature names in the model's order, or None if it has none.

    If a pipeline has no feature names, those of its first step are returned. LightGBM's default names, such as
    ``Column_0``, are returned as well.
    """
    return next((found for part in _parts(model) if (found := _own_names(part))), None)


def find_columns(features: Sequence[str], columns: Sequence[str], *, has_blanks: bool) -> list[str | None]:
    """Find the input column for each of a model's features, by name.

    Args:
        features: names of the model's features.
        columns: names of the input columns.
        has_blanks: whether the model's library replaces spaces in names with underscores, as LightGBM does.

    Returns:
        the column name for each feature, or None if no column matches the feature or more than one does.
    """
    by_feature: dict[str, set[str]] = {}
    for column in columns:
        for spelling in (column, column.replace(" ", "_") if has_blanks else column):
            by_feature.setdefault(spelling, set()).add(column)
    found = [by_feature.get(feature, set()) for feature in features]
    return [next(iter(each)) if len(each) == 1 else None for each in found]


def class_name_of(model: Any) -> str:
    """Return the top-level package and the class name of a model, for example ``lightgbm.Booster``."""
    return f"{type(model).__module__.partition('.')[0]}.{type(model).__name__}"


def _are_defaults(found: Sequence[str]) -> bool:
    return any(list(found) == [default.format(at) for at in range(len(found))] for default in _DEFAULTS)


def _parts(model: Any) -> Iterator[Any]:
    """Yield a model and, if it is a pipeline, its first step. Steps that are None or ``passthrough`` are skipped."""
    yield model
    for _, step in getattr(model, "steps", None) or ():
        if step is not None and not isinstance(step, str):
            yield step
            return


def _own_names(model: Any) -> tuple[str, ...] | None:
    class_name = class_name_of(model)
    if class_name == "lightgbm.Booster":
        return tuple(model.feature_name())
    found = model.feature_names if class_name == "xgboost.Booster" else getattr(model, "feature_names_in_", None)
    return None if found is None else tuple(str(name) for name in found)


def _is_of_lightgbm(model: Any) -> bool:
    return any(type(part).__module__.startswith("lightgbm.") for part in _parts(model))


def _is_of_a_library(model: Any) -> bool:
    return any(base.__module__.partition(".")[0] in _LIBRARIES for base in type(model).__mro__)


def _no_order(rows: pa.Table, order_doubt: str) -> SignatureMismatchError:
    return SignatureMismatchError(
        code=ErrorCode.MODEL_INPUT,
        what="the model has no column names, so it takes columns by position",
        got=order_doubt,
        expected="columns in a defined order",
        next_step=order_advice(rows.column_names),
    )
