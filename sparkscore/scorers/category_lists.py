"""Say which columns of a tree model are categories, and what its own lists of them hold (driver and worker).

LightGBM keeps the lists of a DataFrame's category columns in the columns' order, and not which columns these are.
XGBoost keeps a list for each feature since 3.1.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import pandas as pd

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelLoadError, names

#: Kinds of columns and of lists.
TEXT: Final = "text"
NUMBER: Final = "number"
INTEGER: Final = "integer"
BOOLEAN: Final = "boolean"
#: A list or a column without a value, which is of any kind.
NOTHING: Final = "nothing"

_KINDS: Final = {
    "string": TEXT, "integer": NUMBER, "floating": NUMBER, "mixed-integer-float": NUMBER, "boolean": BOOLEAN,
    "empty": NOTHING,
}  # fmt: skip
_CODES: Final = re.compile(r"-?\d+(:-?\d+)*")
_RANGE: Final = re.compile(r"\[(-?[\d.e+-]+):(-?[\d.e+-]+)\]")
_UNUSED: Final = "none"


def kind_of_values(values: Any) -> str:
    """Say of which kind values are: text, number, boolean, nothing, or pandas' own word for anything else."""
    found: str = pd.api.types.infer_dtype(values, skipna=True)
    return _KINDS.get(found, found)


def places_of_lists(
    infos: Sequence[str], lists: Sequence[Any], kinds: Sequence[str] | None = None
) -> Sequence[int] | None:
    """Find the features of LightGBM's lists, in their order; None where several are possible, or none.

    Args:
        infos: what the model says of each feature: ``-1:0:2`` of categories, ``[0.5:7]`` of numbers, ``none``.
        lists: the lists.
        kinds: of which kind each feature's column is; None where that is not known yet.
    """
    kinds = kinds or [NOTHING] * len(infos)
    texts = {at for at, kind in enumerate(kinds) if kind == TEXT}  # which are categories, or nothing for LightGBM
    coded = {at for at, info in enumerate(infos) if _CODES.fullmatch(info)}
    # Numbers are categories without a list only where the training said so by 'categorical_feature'.
    for needed in (texts | coded, texts):
        found = list(_ways(infos, lists, kinds, 0, needed))
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _ways(
    infos: Sequence[str], lists: Sequence[Any], kinds: Sequence[str], start: int, needed: Collection[int]
) -> Iterator[list[int]]:
    """Give the first two ways, if there are so many, to deal out the lists to features in their order."""
    if not lists:
        if all(at < start for at in needed):
            yield []
        return
    count = 0
    for at in range(start, len(infos) - len(lists) + 1):
        if may_be_category(infos[at], lists[0], kinds[at]):
            for rest in _ways(infos, lists[1:], kinds, at + 1, needed):
                yield [at, *rest]
                count += 1
                if count > 1:
                    return
        if at in needed:
            return


def may_be_category(info: str, categories: Sequence[Any], kind: str = NOTHING) -> bool:
    """Whether a feature can have these categories, by the codes that the model has seen and the kind of its column."""
    wanted = kind_of_values(categories)
    if NOTHING not in {kind, wanted} and kind != wanted:
        return False
    if _CODES.fullmatch(info):
        return max(map(int, info.split(":"))) < max(len(categories), 1)
    # An ordered category is a number for LightGBM: its place in the list.
    ends = _RANGE.fullmatch(info)
    if ends is None:
        return info == _UNUSED
    low, high = float(ends[1]), float(ends[2])
    return low.is_integer() and high.is_integer() and low >= -1 and high < len(categories)


def lists_of_xgboost(booster: Any) -> dict[int, pd.Index[Any]]:
    """Give the lists of an XGBoost model by the feature's place.

    Raises:
        ModelLoadError: a category has no list, or one that cannot be relied on.
    """
    types = booster.feature_types or ()
    places = [at for at, kind in enumerate(types) if kind == "c"]
    if not places:
        return {}
    features = booster.feature_names or [str(at) for at in range(len(types))]
    stored = _stored_by_xgboost(booster)
    without = [features[at] for at in places if stored.get(at) is None]
    if without:
        raise no_lists(
            f"features {names(without)} without a list of categories",
            "the lists that XGBoost 3.1 and later keep of a DataFrame's category columns",
            "Train the model with XGBoost 3.1 or later on a DataFrame, or give the deployment a scoring script.",
        )
    damaged = [features[at] for at in places if not _is_whole(stored[at])]
    if damaged:
        raise no_lists(
            f"features {names(damaged)} with categories that are not ASCII",
            "texts that XGBoost stores whole",
            "XGBoost cuts off the last bytes of such lists. Name the categories in ASCII and train again, or give the "
            "deployment a scoring script that has the lists.",
        )
    return {at: pd.Index(stored[at].to_numpy(zero_copy_only=False)) for at in places}


def _stored_by_xgboost(booster: Any) -> Mapping[int, Any]:
    if not hasattr(booster, "get_categories"):  # before 3.1
        return {}
    found = booster.get_categories(export_to_arrow=True)
    return {at: values for at, (_, values) in enumerate(found.to_arrow()) if values is not None and len(values)}


def _is_whole(values: Any) -> bool:
    """Whether a list of texts has all its bytes.

    Source: ``xgboost._data_utils.pd_cat_inf`` counts the characters of a list and copies as many bytes.
    """
    buffers = values.buffers()
    is_text = len(buffers) == 3  # noqa: PLR2004 - validity, offsets, bytes
    return not is_text or buffers[2] is None or buffers[2].to_pybytes().isascii()


def no_lists(got: str, expected: str, next_step: str) -> ModelLoadError:
    """Make the error for a model whose categories cannot be known."""
    return ModelLoadError(
        code=ErrorCode.MODEL_CATEGORIES, what="the model's categories", got=got, expected=expected, next_step=next_step
    )
