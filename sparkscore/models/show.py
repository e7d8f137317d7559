"""Show a model's files, signature and requirements. Runs on the driver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from sparkscore.config import load_deployment
from sparkscore.digest import files_of_model
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.models.description import describe_model
from sparkscore.models.model_description import ModelDescription
from sparkscore.models.resolve import ResolvedModel, resolve_model
from sparkscore.signature import type_name
from sparkscore.signature.model_signature import ColumnInput, ModelInput


def show_model(reference: str | Path, *, framework: str | None = None) -> dict[str, Any]:
    """Return a model's files, digest, signature and packages.

    This needs no Spark session and does not run the model's code.

    Args:
        reference: path of a file or folder, or an MLflow reference: ``models:/NAME/VERSION``, ``models:/NAME@ALIAS`` or
            ``runs:/RUN/PATH``.
        framework: the library that wrote the model file: ``sklearn``, ``xgboost`` or ``lightgbm``. It is not needed for
            MLflow models or for files named ``*.onnx`` or ``*.ubj`` (XGBoost).

    Returns:
        the dictionary that ``sparkscore models show --json`` prints.

    Raises:
        ConfigError: the reference or the framework is an empty string, or the reference is an Azure ML reference or the
            URI of a remote store.
        ModelError: the model does not exist, its files cannot be read, or it cannot be used without a script.
        MissingDependencyError: a package that is needed to find or read the model is not installed.
    """
    section = load_deployment(None, {"model.path": str(reference), "model.framework": framework}).model
    model = resolve_model(section)
    if section is None or model is None:
        raise ConfigError(
            code=ErrorCode.MODEL_MISSING, what="no model is named", next_step="Name a file or a reference."
        )
    return _shown(model, describe_model(model, section))


def _shown(model: ResolvedModel, description: ModelDescription) -> dict[str, Any]:
    signature = description.signature
    return {
        **model.describe(),
        "kind": description.model_format,
        "flavors": list(description.flavors),
        "runs_code": description.runs_code,
        "inputs": None if signature.inputs is None else [_input(each) for each in signature.inputs],
        "outputs": None if signature.outputs is None else [_column(each) for each in signature.outputs],
        "params": None if signature.params is None else dict(signature.params),
        "signature_advice": description.signature_advice or None,
        "python": description.python_version,
        "requirements": list(description.requirements),
        "files": _files(model.path),
    }


def _input(one: ModelInput) -> dict[str, Any]:
    type_ = _type_of(one)
    if isinstance(one, ColumnInput):
        return {"name": one.name, "type": type_, "required": one.is_required}
    return {"name": one.name, "type": type_, "shape": list(one.shape)}


def _type_of(one: ModelInput) -> str:
    if one.type is not None:
        return type_name(one.type)
    return " or ".join(one.accepts if isinstance(one, ColumnInput) else ()) or "any"


def _column(column: pa.Field) -> dict[str, Any]:
    return {"name": column.name, "type": type_name(column.type)}


def _files(path: Path) -> dict[str, int]:
    if path.is_file():
        return {path.name: path.stat().st_size}
    return {file.relative_to(path).as_posix(): file.stat().st_size for file in sorted(files_of_model(path))}
