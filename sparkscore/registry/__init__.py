"""Find and download models in MLflow's registry, and silence MLflow's output. Runs on the driver and the workers.

The driver looks up the models that a deployment names (`sparkscore.models.references`). A worker looks up a model only
if a script calls Azure's ``Model.get_model_path`` and the deployment has no model of the requested name
(`sparkscore.scorers.registered_models`).
"""

from __future__ import annotations

from sparkscore.registry.client import (
    NotRegisteredError,
    Registry,
    configured_registry,
    registry_of_name,
    tracking_store,
)
from sparkscore.registry.quiet import quiet_mlflow
from sparkscore.registry.stores import is_absolute_store, is_local_store, stores_for_workers

__all__ = [
    "NotRegisteredError",
    "Registry",
    "configured_registry",
    "is_absolute_store",
    "is_local_store",
    "quiet_mlflow",
    "registry_of_name",
    "stores_for_workers",
    "tracking_store",
]
