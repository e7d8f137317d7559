"""Turn the deployment's model references into files, names, versions and digests, and say what they hold (driver)."""

from __future__ import annotations

from sparkscore.models.description import check_trust, describe_model
from sparkscore.models.kinds import ModelDescription, ModelKind
from sparkscore.models.mlflow_model import check_params
from sparkscore.models.resolve import ResolvedModel, resolve_model, resolve_models

__all__ = [
    "ModelDescription",
    "ModelKind",
    "ResolvedModel",
    "check_params",
    "check_trust",
    "describe_model",
    "resolve_model",
    "resolve_models",
]
