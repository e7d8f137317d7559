"""What scikit-learn's estimators take and give that a table does not say: texts, and a list of outputs (worker)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any

import numpy as np
import pandas as pd

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SignatureMismatchError, names
from sparkscore.scorers.dtypes import Dtypes


def is_estimator(model: object) -> bool:
    """Tell whether a model is one of scikit-learn's, or has their methods."""
    return callable(getattr(model, "get_params", None)) and callable(getattr(model, "fit", None))


def hand_over_texts(model: object) -> None:
    """Let each part of a model that takes a sequence of texts get the column and not the DataFrame.

    A text vectorizer iterates over what it gets, and a DataFrame gives the names of its columns: one prediction for any
    number of rows. Changes the loaded model, wherever in it the vectorizer is.

    Source: ``raw_documents`` of scikit-learn's ``CountVectorizer.transform`` is "an iterable".
    """
    for part in parts_of(model, set()):
        if not _takes_a_table(part) and callable(getattr(part, "transform", None)):
            part.transform = _taking_a_column(part.transform, type(part).__name__, takes_texts=_takes_texts(part))


def warn_of_nan(model: object, dtypes: Dtypes) -> tuple[str, ...]:
    """Say which parts of a model have learned NaN for a missing text, where a NULL reaches them as None.

    An encoder takes None for another category than NaN, and an imputer does not fill it.
    """
    if dtypes.nan:
        return ()
    found = sorted({type(part).__name__ for part in parts_of(model, set()) if _knows_nan(part)})
    if not found:
        return ()
    told = (
        f"the model's {', '.join(found)} learned NaN for a missing text, which pandas.read_csv gives; a NULL text "
        "reaches it as None, which is another value: set 'input.nulls: nan' if the model was fitted on such DataFrames"
    )
    return (told,)


def _knows_nan(part: Any) -> bool:
    """Whether a fitted encoder has NaN among its texts, or an imputer of texts fills NaN."""
    categories, filled = getattr(part, "categories_", None), getattr(part, "statistics_", None)
    if isinstance(filled, np.ndarray) and filled.dtype == object:
        return _is_nan(getattr(part, "missing_values", None))
    of_texts = [each for each in categories or () if isinstance(each, np.ndarray) and each.dtype == object]
    return any(None not in each.tolist() and any(map(_is_nan, each)) for each in of_texts)


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def outputs_of_estimator(returned: Any) -> Mapping[str, Any] | None:
    """Give the outputs of a list of matrices, each with a row for each item; None for anything else.

    Source: ``predict_proba`` of a model with several outputs is "a list of n_outputs such arrays".
    """
    if not isinstance(returned, list) or not returned:
        return None
    if not all(isinstance(values, np.ndarray) and values.ndim > 1 for values in returned):
        return None
    return {f"c{position}": values for position, values in enumerate(returned)}


def parts_of(value: object, seen: set[int]) -> Iterator[Any]:
    """Give the estimators in an estimator: the steps of a pipeline, what a search or a calibration has fitted."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, (list, tuple)):
        inner: list[object] = list(value)
    elif isinstance(value, dict):
        inner = list(value.values())
    elif hasattr(value, "__dict__") and (is_estimator(value) or type(value).__module__.startswith("sklearn.")):
        if is_estimator(value):
            yield value
        inner = list(vars(value).values())
    else:
        return
    for each in inner:
        if not isinstance(each, (str, bytes, int, float, np.ndarray)):
            yield from parts_of(each, seen)


def _input_tags(part: Any) -> Any:
    """Give what an estimator says of its input, since scikit-learn 1.6; None where it says nothing."""
    try:
        return part.__sklearn_tags__().input_tags
    except Exception:  # noqa: BLE001 - a class of the user's own may raise anything here
        return None


def _old_tags(part: Any) -> list[str]:
    """Give the same of scikit-learn before 1.6."""
    try:
        return list(part._get_tags()["X_types"])  # noqa: SLF001 - it had no other name then
    except Exception:  # noqa: BLE001 - see above
        return []


def _takes_texts(part: Any) -> bool:
    tags = _input_tags(part)
    is_told = bool(tags.string) if tags is not None else _old_tags(part) == ["string"]
    # A hasher of strings takes lists of strings, one for each row, and no texts.
    return is_told and callable(getattr(part, "build_analyzer", None))


def _takes_a_table(part: Any) -> bool:
    """Tell whether it takes rows with columns; in doubt it does."""
    tags = _input_tags(part)
    if tags is None:
        return not set(_old_tags(part)) & {"string", "dict"}
    return bool(tags.two_d_array) or not (tags.string or tags.dict)


def _taking_a_column(transform: Callable[..., Any], name: str, *, takes_texts: bool) -> Callable[..., Any]:
    @wraps(transform)
    def transform_column(values: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(values, pd.DataFrame):
            if values.shape[1] != 1 or not takes_texts:
                raise _not_a_table(name, list(values.columns), takes_texts=takes_texts)
            values = values.iloc[:, 0]
        return transform(values, *arguments, **options)

    return transform_column


def _not_a_table(name: str, columns: list[Any], *, takes_texts: bool) -> SignatureMismatchError:
    wrapped = f'make_column_transformer(({name}(), "{columns[0]}"))'
    advice = (
        f"Fit the model with {wrapped} as its first step, which takes its column from the table, or leave one column "
        "with 'input.columns'."
        if takes_texts
        else "Give the deployment a scoring script that makes of the rows what the model takes."
    )
    return SignatureMismatchError(
        code=ErrorCode.MODEL_INPUT,
        what=f"the model's {name}",
        got=f"the columns {names(map(str, columns))}",
        expected="one column of texts" if takes_texts else "dicts or lists, and no table",
        next_step=advice,
    )
