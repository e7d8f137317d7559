"""Find the estimators inside a scikit-learn model, and adapt the model to DataFrame input. Runs on the workers.

A text vectorizer gets one column instead of the whole DataFrame. A warning is given if a model that was fitted with NaN
for missing strings would get None instead. The return value of a multi-output model is split into columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any, Final

import numpy as np
import pandas as pd

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SignatureMismatchError, names
from sparkscore.scorers.dtypes import Dtypes

# Estimators that may treat a DataFrame differently from an array of the same numbers.
_TELLING_FRAMES_APART: Final = frozenset({"ColumnTransformer", "FunctionTransformer"})


def is_estimator(model: object) -> bool:
    """Return whether an object has ``fit`` and ``get_params`` methods, as scikit-learn estimators do."""
    return callable(getattr(model, "get_params", None)) and callable(getattr(model, "fit", None))


def pass_texts_as_column(model: object) -> None:
    """Make the text vectorizers in a model take a DataFrame's only column instead of the DataFrame itself.

    A vectorizer iterates over its input, and iterating over a DataFrame yields column names. Without this change, the
    model would return one prediction per column instead of one per row. The vectorizer's ``transform`` method is
    replaced with a wrapper, which raises a `SignatureMismatchError` unless the DataFrame has exactly one column.
    Estimators that take dictionaries or lists, such as ``DictVectorizer``, get a wrapper that rejects all DataFrames.

    Source: scikit-learn's ``CountVectorizer.transform`` takes ``raw_documents``, "an iterable".
    """
    for part in parts_of(model, set()):
        if not _takes_a_table(part) and callable(getattr(part, "transform", None)):
            part.transform = _taking_a_column(part.transform, type(part).__name__, takes_texts=_takes_texts(part))


def takes_matrix(model: object) -> bool:
    """Return whether a model was fitted with an array and treats a DataFrame like an array of the same numbers.

    This is known only for models that consist entirely of scikit-learn's own estimators. The user's own code, and a
    ``ColumnTransformer``, may treat a DataFrame differently.
    """
    parts = list(parts_of(model, set()))
    is_own = all(type(part).__module__.startswith("sklearn.") for part in parts)
    if not parts or not is_own or any(type(part).__name__ in _TELLING_FRAMES_APART for part in parts):
        return False
    return all(_takes_a_table(part) for part in parts) and _has_no_names(model)


def _has_no_names(model: object) -> bool:
    """Return whether a fitted estimator stores the number of columns that it was fitted with, but not their names."""
    return hasattr(model, "n_features_in_") and not any(
        hasattr(part, "feature_names_in_") for part in parts_of(model, set())
    )


def warn_of_nan(model: object, dtypes: Dtypes) -> tuple[str, ...]:
    """Return a warning if a model was fitted with NaN for missing strings but will get None instead.

    To an encoder, None and NaN are different categories. An imputer that replaces NaN does not replace None.

    Args:
        model: the loaded model.
        dtypes: dtype options of the DataFrames. They determine whether NULL is passed to the model as NaN.

    Returns:
        a tuple with one warning, or an empty tuple.
    """
    if dtypes.nan:
        return ()
    found = sorted({type(part).__name__ for part in parts_of(model, set()) if _knows_nan(part)})
    if not found:
        return ()
    told = (
        f"the model's {', '.join(found)} learned NaN for a missing text, as pandas.read_csv reads it; a NULL text "
        "reaches it as None, which is another value: set 'input.nulls: nan' if the model was fitted on such DataFrames"
    )
    return (told,)


def _knows_nan(part: Any) -> bool:
    """Return whether an estimator was fitted with NaN for missing strings.

    This is the case for an encoder if the categories of a string column include NaN but not None, and for a string
    imputer if it replaces NaN.
    """
    categories, filled = getattr(part, "categories_", None), getattr(part, "statistics_", None)
    if isinstance(filled, np.ndarray) and filled.dtype == object:
        return _is_nan(getattr(part, "missing_values", None))
    of_texts = [each for each in categories or () if isinstance(each, np.ndarray) and each.dtype == object]
    return any(None not in each.tolist() and any(map(_is_nan, each)) for each in of_texts)


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def outputs_of_estimator(returned: Any) -> Mapping[str, Any] | None:
    """Split the return value of a multi-output estimator into columns ``c0``, ``c1`` and so on.

    Returns:
        the matrix of each output, keyed by column name. None if the return value is not a list of matrices or is empty.

    Source: scikit-learn's documentation of ``predict_proba``: a "list of n_outputs such arrays" if there are several.
    """
    if not isinstance(returned, list) or not returned:
        return None
    if not all(isinstance(values, np.ndarray) and values.ndim > 1 for values in returned):
        return None
    return {f"c{position}": values for position, values in enumerate(returned)}


def parts_of(value: object, seen: set[int]) -> Iterator[Any]:
    """Yield an estimator and all estimators inside it, such as pipeline steps or the best estimator of a search.

    The search covers lists, tuples, dictionaries, and the attributes of estimators and other scikit-learn objects, but
    not NumPy arrays.

    Args:
        value: the object to search. For objects of other types, nothing is yielded.
        seen: the ``id()`` of each object visited so far. This function adds to the set, which prevents infinite
            recursion when objects contain each other.
    """
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
    """Return an estimator's input tags, or None if it has no tags or raises an exception.

    These tags were introduced in scikit-learn 1.6.
    """
    try:
        return part.__sklearn_tags__().input_tags
    except Exception:  # noqa: BLE001 - a user-defined class may raise anything here
        return None


def _old_tags(part: Any) -> list[str]:
    """Return the input types listed in an estimator's tags, for scikit-learn versions before 1.6.

    The list is empty if the estimator has no tags or raises an exception.
    """
    try:
        return list(part._get_tags()["X_types"])  # noqa: SLF001 - there is no public equivalent
    except Exception:  # noqa: BLE001 - see above
        return []


def _takes_texts(part: Any) -> bool:
    tags = _input_tags(part)
    is_tagged = bool(tags.string) if tags is not None else _old_tags(part) == ["string"]
    # FeatureHasher has the same tag, but takes a list of strings for each row.
    return is_tagged and callable(getattr(part, "build_analyzer", None))


def _takes_a_table(part: Any) -> bool:
    """Return whether an estimator takes a table with rows and columns, according to its scikit-learn tags.

    If it has no tags, the result is True.
    """
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
        f"Fit the model with {wrapped} as its first step, which selects the column from the table, or select one "
        "column with 'input.columns'."
        if takes_texts
        else "Give the deployment a scoring script that converts the rows for the model."
    )
    return SignatureMismatchError(
        code=ErrorCode.MODEL_INPUT,
        what=f"the model's {name}",
        got=f"the columns {names(map(str, columns))}",
        expected="one column of texts" if takes_texts else "dictionaries or lists instead of a table",
        next_step=advice,
    )
