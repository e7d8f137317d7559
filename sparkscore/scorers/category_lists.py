"""Read the categories of LightGBM and XGBoost models, and find the columns that they belong to.

Runs on the driver and the workers.

LightGBM stores one list of categories per categorical column, in column order. It does not store which columns are
categorical.

XGBoost 3.1 and later stores the categories of each categorical feature if the model was trained on a DataFrame.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import pandas as pd

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelLoadError, names

#: Types of the values in a column or a list of categories.
TEXT: Final = "text"
NUMBER: Final = "number"
INTEGER: Final = "integer"
BOOLEAN: Final = "boolean"
#: The type of a list or column without values. It is compatible with every other type.
NOTHING: Final = "nothing"

_TYPES: Final = {
    "string": TEXT, "integer": NUMBER, "floating": NUMBER, "mixed-integer-float": NUMBER, "boolean": BOOLEAN,
    "empty": NOTHING,
}  # fmt: skip
_CODES: Final = re.compile(r"-?\d+(:-?\d+)*")
_RANGE: Final = re.compile(r"\[(-?[\d.e+-]+):(-?[\d.e+-]+)\]")
_IGNORED: Final = "none"


def value_type_of(values: Any) -> str:
    """Return the type of the values in a list or column: ``text``, ``number``, ``boolean`` or ``nothing``.

    NULLs are ignored, so ``nothing`` means that all values are NULL or the list is empty. Integers and floats both
    count as numbers. For any other type or a mix of types, the function returns the result of
    ``pandas.api.types.infer_dtype``, for example ``mixed``.

    >>> value_type_of(["a", None]), value_type_of([1, 2.5]), value_type_of([])
    ('text', 'number', 'nothing')
    """
    found: str = pd.api.types.infer_dtype(values, skipna=True)
    return _TYPES.get(found, found)


def find_positions(
    infos: Sequence[str], lists: Sequence[Any], types: Sequence[str] | None = None
) -> Sequence[int] | None:
    """Match each list of categories in a LightGBM model with the feature that it belongs to.

    Every list must fit the description and type of its feature, and every string column must get a list. The function
    first tries to assign a list to every feature with codes, such as ``-1:0:2``, too. If that is impossible, features
    with codes may remain without one.

    Args:
        infos: LightGBM's description of each feature: ``-1:0:2`` for category codes, ``[0.5:7]`` for a range of
            numbers, or ``none`` if LightGBM ignored the feature in training, for example because it is constant.
        lists: the lists of categories, in the order of their features.
        types: the type of each feature's column, as returned by `value_type_of`. If None, types are ignored.

    Returns:
        the position of each list's feature, or None if there is no possible assignment or more than one.
    """
    types = types or [NOTHING] * len(infos)
    texts = {at for at, type_ in enumerate(types) if type_ == TEXT}  # LightGBM accepts strings only as categories
    coded = {at for at, info in enumerate(infos) if _CODES.fullmatch(info)}
    # Usually, each feature with codes has a list. However, a numeric feature that was listed in 'categorical_feature'
    # in training has codes but no list. So the second pass does not require a list for features with codes.
    for needed in (texts | coded, texts):
        found = list(_ways(infos, lists, types, 0, needed))
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _ways(
    infos: Sequence[str], lists: Sequence[Any], types: Sequence[str], start: int, needed: Collection[int]
) -> Iterator[list[int]]:
    """Yield at most two possible ways to assign lists of categories to features.

    Two are enough for `find_positions` to know that the assignment is ambiguous.

    Args:
        infos: LightGBM's description of each feature, as in `find_positions`.
        lists: the lists that have not been assigned yet.
        types: the type of each feature's column, as returned by `value_type_of`.
        start: position of the first feature to consider. Earlier features get none of these lists.
        needed: positions of the features that must have a list in the end, including earlier features.

    Yields:
        an assignment: the position of each list's feature.
    """
    if not lists:
        if all(at < start for at in needed):
            yield []
        return
    count = 0
    for at in range(start, len(infos) - len(lists) + 1):
        if may_be_category(infos[at], lists[0], types[at]):
            for rest in _ways(infos, lists[1:], types, at + 1, needed):
                yield [at, *rest]
                count += 1
                if count > 1:
                    return
        if at in needed:
            return


def may_be_category(info: str, categories: Sequence[Any], value_type: str = NOTHING) -> bool:
    """Return whether a list of categories can belong to a given feature of a LightGBM model.

    Args:
        info: LightGBM's description of the feature, as in `find_positions`.
        categories: the list of categories.
        value_type: the type of the feature's column, as returned by `value_type_of`.
    """
    wanted = value_type_of(categories)
    if NOTHING not in {value_type, wanted} and value_type != wanted:
        return False
    if _CODES.fullmatch(info):
        return max(map(int, info.split(":"))) < max(len(categories), 1)
    # LightGBM treats an ordered category as a number, its position in the list.
    ends = _RANGE.fullmatch(info)
    if ends is None:
        return info == _IGNORED
    low, high = float(ends[1]), float(ends[2])
    return low.is_integer() and high.is_integer() and low >= -1 and high < len(categories)


def lists_of_xgboost(booster: Any) -> dict[int, pd.Index[Any]]:
    """Return the categories of an XGBoost model's categorical features, keyed by feature position.

    Raises:
        ModelLoadError: the model does not store the categories of a categorical feature, or XGBoost truncated them
            because they contain non-ASCII characters.
    """
    types = booster.feature_types or ()
    positions = [at for at, type_ in enumerate(types) if type_ == "c"]
    if not positions:
        return {}
    features = booster.feature_names or [str(at) for at in range(len(types))]
    stored = _stored_by_xgboost(booster)
    without = [features[at] for at in positions if stored.get(at) is None]
    if without:
        raise no_lists(
            f"features {names(without)} without a list of categories",
            "the lists that XGBoost 3.1 and later store for a DataFrame's category columns",
            "Train the model with XGBoost 3.1 or later on a DataFrame, or give the deployment a scoring script.",
        )
    damaged = [features[at] for at in positions if not _is_whole(stored[at])]
    if damaged:
        raise no_lists(
            f"features {names(damaged)} with categories that are not ASCII",
            "ASCII texts, which XGBoost stores completely",
            "XGBoost truncates lists of other texts. Name the categories in ASCII and train again, or give the "
            "deployment a scoring script that has the lists.",
        )
    return {at: pd.Index(stored[at].to_numpy(zero_copy_only=False)) for at in positions}


def _stored_by_xgboost(booster: Any) -> Mapping[int, Any]:
    if not hasattr(booster, "get_categories"):  # before 3.1
        return {}
    found = booster.get_categories(export_to_arrow=True)
    return {at: values for at, (_, values) in enumerate(found.to_arrow()) if values is not None and len(values)}


def _is_whole(values: Any) -> bool:
    """Return whether XGBoost stored a list of categories completely.

    XGBoost truncates lists of strings that contain non-ASCII characters. Lists of numbers are always complete.

    Source: ``xgboost._data_utils.pd_cat_inf`` counts the characters of all strings and copies that number of bytes.
    """
    buffers = values.buffers()
    is_text = len(buffers) == 3  # noqa: PLR2004 - validity, offsets, bytes
    return not is_text or buffers[2] is None or buffers[2].to_pybytes().isascii()


def no_lists(got: str, expected: str, next_step: str) -> ModelLoadError:
    """Return the error for a model whose categories, or the columns they belong to, cannot be determined."""
    return ModelLoadError(
        code=ErrorCode.MODEL_CATEGORIES, what="the model's categories", got=got, expected=expected, next_step=next_step
    )
