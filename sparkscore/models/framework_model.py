"""Describe a scikit-learn, XGBoost or LightGBM model file without unpickling it. Runs on the driver."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelLoadError
from sparkscore.models.model_description import ModelDescription
from sparkscore.models.resolve import ResolvedModel
from sparkscore.returned.shapes import PREDICTION
from sparkscore.scorers.category_lists import (
    BOOLEAN,
    INTEGER,
    NOTHING,
    NUMBER,
    find_positions,
    lists_of_xgboost,
    may_be_category,
    value_type_of,
)
from sparkscore.scorers.specs import PICKLES, Framework
from sparkscore.scorers.xgboost_file import file_or_bytes
from sparkscore.signature.model_signature import ColumnInput, ModelSignature

_TREE_LINES: Final = 200


def describe_framework(model: ResolvedModel, framework: Framework) -> ModelDescription:
    """Describe a model file as far as it can be read without running code from the file.

    Pickles are not opened, so their inputs are unknown. The inputs of an XGBoost file are unknown if XGBoost is not
    installed.

    Args:
        model: the model and its file.
        framework: the library that wrote the file.

    Raises:
        ModelLoadError: the file is not in one of the library's formats, or an XGBoost file lacks some of a feature's
            categories.
    """
    suffix = model.path.suffix.lower()
    signature = ModelSignature()
    if suffix in PICKLES:
        pass
    elif framework == "xgboost":
        signature = _signature_of_xgboost(model)
    elif framework == "lightgbm":
        signature = ModelSignature(_inputs_of_lightgbm(model))
    else:
        raise _broken(model, framework, f"ending '{suffix}'", f"one of {', '.join(sorted(PICKLES))}")
    return ModelDescription(
        model_format=framework,
        flavors=(f"{framework} {suffix}",),
        signature=signature,
        runs_code=suffix in PICKLES,
        signature_advice="columns are passed by the model's own column names, or all in their order if it has none. "
        "To have them checked before the run, log the model with MLflow and input_example=INPUT.",
    )


def _signature_of_xgboost(model: ResolvedModel) -> ModelSignature:
    """Return the features of an XGBoost model as inputs, and its prediction if that does not depend on the values.

    Both are unknown if XGBoost is not installed.

    Raises:
        ModelLoadError: XGBoost cannot read the file, or the file lacks some of a feature's categories.
    """
    if find_spec("xgboost") is None:
        return ModelSignature()
    import xgboost

    try:
        booster = xgboost.Booster(model_file=file_or_bytes(model.path))
    # For a file in a different format, XGBoost raises its own errors, C++ errors or Python errors.
    except Exception as error:
        raise _broken(model, "xgboost", "a file that XGBoost cannot read", "model.save_model(FILE)") from error
    count = booster.num_features()
    features: Sequence[str | None] = booster.feature_names or [None] * count
    types = booster.feature_types or [""] * count
    lists = lists_of_xgboost(booster)
    inputs = tuple(
        _category(name, lists[at]) if at in lists else _number_of_xgboost(name, feature_type)
        for at, (name, feature_type) in enumerate(zip(features, types, strict=True))
    )
    return ModelSignature(inputs, None if lists else _prediction_of_xgboost(booster))


def _prediction_of_xgboost(booster: Any) -> pa.Schema | None:
    """Return the column that ``Booster.predict`` gives, or None if it cannot be called with zeros.

    The objective alone decides whether a row gets one number or several, for example a probability for each class.
    """
    import xgboost

    try:
        zeros = xgboost.DMatrix(np.zeros((2, booster.num_features()), np.float32), nthread=1)
        booster.set_param({"nthread": 1})
        shape = booster.predict(zeros, validate_features=False).shape
    # XGBoost raises its own errors, C++ errors or Python errors. The probe then finds the columns, or shows the error.
    except Exception:  # noqa: BLE001
        return None
    number = pa.float64()
    return pa.schema([(PREDICTION, number if len(shape) == 1 else pa.list_(pa.field("element", number)))])


def _number_of_xgboost(name: str | None, feature_type: str) -> ColumnInput:
    """Return the input for a numeric feature of an XGBoost model.

    Integer, float and boolean columns are accepted. For an integer feature, only boolean columns are cast to double.
    For any other feature, all columns are cast to double.

    Args:
        name: name of the feature, or None if it is unnamed.
        feature_type: XGBoost's type of the feature (for example ``int`` or ``float``), or an empty string.
    """
    if feature_type in {"int", "i"}:
        return ColumnInput(name, None, accepts=(NUMBER, BOOLEAN))
    return _number(name)


def _number(name: str | None) -> ColumnInput:
    """Return a model input of type double that also accepts integer and boolean columns."""
    return ColumnInput(name, pa.float64(), accepts=(INTEGER, BOOLEAN))


def _category(name: str | None, categories: Any) -> ColumnInput:
    value_type = value_type_of(categories)
    return ColumnInput(name, None, accepts=() if value_type == NOTHING else (value_type,))


def _inputs_of_lightgbm(model: ResolvedModel) -> tuple[ColumnInput, ...]:
    header = _header_of_lightgbm(model.path)
    if header.get("version") is None or "feature_names" not in header:
        raise _broken(model, "lightgbm", "a file without LightGBM's header", "model.save_model(FILE)")
    features = header["feature_names"].split()
    infos = header.get("feature_infos", "").split()
    infos = infos if len(infos) == len(features) else [""] * len(features)
    # If the features have LightGBM's default names, columns are passed by position.
    is_unnamed = features == [f"Column_{position}" for position in range(len(features))]
    lists = _lists(header.get("pandas_categorical", ""))
    positions = find_positions(infos, lists)
    if positions is None:
        # The worker uses the types of the first rows to find out which columns the lists belong to.
        return tuple(_maybe_category(name, info, lists) for name, info in zip(features, infos, strict=True))
    found = dict(zip(positions, lists, strict=True))
    return tuple(
        _category(name, found[at]) if at in found else _number(None if is_unnamed else name)
        for at, name in enumerate(features)
    )


def _maybe_category(name: str, info: str, lists: Sequence[Any]) -> ColumnInput:
    is_possible = any(may_be_category(info, categories) for categories in lists)
    return ColumnInput(name, None) if is_possible else _number(name)


def _header_of_lightgbm(path: Path) -> dict[str, str]:
    """Return the ``key=value`` entries at the beginning of a LightGBM file, and the categories at its end.

    If the file lists categories, they are returned as a JSON string under the key ``pandas_categorical``. If the file
    is not valid UTF-8, an empty dictionary is returned.
    """
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
