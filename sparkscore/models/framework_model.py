"""Say what a plain model file of scikit-learn, XGBoost or LightGBM is (driver; nothing is unpickled)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelLoadError
from sparkscore.models.kinds import ModelDescription
from sparkscore.models.resolve import ResolvedModel
from sparkscore.scorers.category_lists import (
    BOOLEAN,
    INTEGER,
    NOTHING,
    NUMBER,
    kind_of_values,
    lists_of_xgboost,
    may_be_category,
    places_of_lists,
)
from sparkscore.scorers.specs import PICKLES, Framework
from sparkscore.scorers.xgboost_file import file_or_bytes
from sparkscore.signature.model_signature import ColumnInput, ModelSignature

_TREE_LINES: Final = 200


def describe_framework(model: ResolvedModel, framework: Framework) -> ModelDescription:
    """Describe a model file by what can be read without running anything of it.

    Raises:
        ModelLoadError: it is no file of this framework.
    """
    suffix = model.path.suffix.lower()
    if suffix in PICKLES:
        inputs = None
    elif framework == "xgboost":
        inputs = _inputs_of_xgboost(model)
    elif framework == "lightgbm":
        inputs = _inputs_of_lightgbm(model)
    else:
        raise _broken(model, framework, f"ending '{suffix}'", f"one of {', '.join(sorted(PICKLES))}")
    return ModelDescription(
        kind=framework,
        flavors=(f"{framework} {suffix}",),
        signature=ModelSignature(inputs=inputs),
        runs_code=suffix in PICKLES,
        signature_advice="the columns go by the names that the model itself has, or all of them in their order. "
        "To have them checked before the run, log the model with MLflow and input_example=INPUT.",
    )


def _inputs_of_xgboost(model: ResolvedModel) -> tuple[ColumnInput, ...] | None:
    """Read names and types of the features; None where XGBoost is not installed here."""
    if find_spec("xgboost") is None:
        return None
    import xgboost  # noqa: PLC0415 - only where it is installed

    try:
        booster = xgboost.Booster(model_file=file_or_bytes(model.path))
    # XGBoost raises errors of its own, of C++ and of Python for a file that is none of its.
    except Exception as error:
        raise _broken(model, "xgboost", "a file that XGBoost cannot read", "model.save_model(FILE)") from error
    count = booster.num_features()
    features: Sequence[str | None] = booster.feature_names or [None] * count
    kinds = booster.feature_types or [""] * count
    lists = lists_of_xgboost(booster)
    return tuple(
        _category(name, lists[at]) if at in lists else _number_of_xgboost(name, kind)
        for at, (name, kind) in enumerate(zip(features, kinds, strict=True))
    )


def _number_of_xgboost(name: str | None, kind: str) -> ColumnInput:
    """Say what a feature takes: XGBoost computes with 32-bit floats, and rounds itself, as in plain Python."""
    if kind in {"int", "i"}:
        return ColumnInput(name, None, accepts=(NUMBER, BOOLEAN))
    return _number(name)


def _number(name: str | None) -> ColumnInput:
    """Say that a feature is a number: an integer is one where a double holds it, which is looked at value by value."""
    return ColumnInput(name, pa.float64(), accepts=(INTEGER, BOOLEAN))


def _category(name: str | None, categories: Any) -> ColumnInput:
    kind = kind_of_values(categories)
    return ColumnInput(name, None, accepts=() if kind == NOTHING else (kind,))


def _inputs_of_lightgbm(model: ResolvedModel) -> tuple[ColumnInput, ...]:
    header = _header_of_lightgbm(model.path)
    if header.get("version") is None or "feature_names" not in header:
        raise _broken(model, "lightgbm", "a file without LightGBM's header", "model.save_model(FILE)")
    features = header["feature_names"].split()
    infos = header.get("feature_infos", "").split()
    kinds = infos if len(infos) == len(features) else [""] * len(features)
    # LightGBM's own names where nobody gave any: columns then count by position.
    is_unnamed = features == [f"Column_{position}" for position in range(len(features))]
    lists = _lists(header.get("pandas_categorical", ""))
    places = places_of_lists(kinds, lists)
    if places is None:
        # Which columns they are is seen when the first rows come.
        return tuple(_maybe_category(name, kind, lists) for name, kind in zip(features, kinds, strict=True))
    found = dict(zip(places, lists, strict=True))
    return tuple(
        _category(name, found[at]) if at in found else _number(None if is_unnamed else name)
        for at, name in enumerate(features)
    )


def _maybe_category(name: str, info: str, lists: Sequence[Any]) -> ColumnInput:
    is_possible = any(may_be_category(info, categories) for categories in lists)
    return ColumnInput(name, None) if is_possible else _number(name)


def _header_of_lightgbm(path: Path) -> dict[str, str]:
    """Read the lines ``key=value`` above the first tree, and the categories on the last line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return {}
    header = dict(line.split("=", 1) for line in lines[:_TREE_LINES] if "=" in line)
    header.pop("pandas_categorical", None)
    for line in lines[-_TREE_LINES:]:
        if line.startswith("pandas_categorical:"):
            header["pandas_categorical"] = line.partition(":")[2]
    return header


def _lists(text: str) -> Sequence[Any]:
    try:
        found = json.loads(text) if text else []
    except ValueError:
        return []
    return found if isinstance(found, list) else []


def _broken(model: ResolvedModel, framework: str, got: str, expected: str) -> ModelLoadError:
    return ModelLoadError(
        code=ErrorCode.MODEL_BROKEN,
        what=f"model '{model.path.name}' as a file of {framework}",
        got=got,
        expected=f"a file that was written with {expected}" if "(" in expected else expected,
        next_step="Correct 'model.framework', or save the model again.",
    )
