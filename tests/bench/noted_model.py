"""An MLflow model that notes each of its loads, for counting them."""

from __future__ import annotations

from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from tests.bench.predictor import note_load


class NotedModel(PythonModel):
    """Adds the features of each row."""

    def load_context(self, context: Any) -> None:  # noqa: ARG002 - MLflow's signature
        note_load()

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002 - MLflow's signature
        return model_input.to_numpy("float32").sum(axis=1, dtype=np.float64)


set_model(NotedModel())
