"""Find, describe and check the models of a deployment. Runs on the driver."""

from __future__ import annotations

from sparkscore.models.description import check_trust, describe_model
from sparkscore.models.mlflow_model import check_params
from sparkscore.models.model_description import ModelDescription, ModelFormat
from sparkscore.models.resolve import ResolvedModel, resolve_model, resolve_models

__all__ = [
    "ModelDescription",
    "ModelFormat",
    "ResolvedModel",
    "check_params",
    "check_trust",
    "describe_model",
    "resolve_model",
    "resolve_models",
]
