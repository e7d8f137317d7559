"""Score rows with a scikit-learn model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import joblib
import pandas as pd

_loaded: dict[str, Any] = {}


def init() -> None:
    _loaded["model"] = joblib.load(next(Path(os.environ["AZUREML_MODEL_DIR"]).rglob("model.joblib")))


def run(mini_batch: pd.DataFrame) -> Any:
    return _loaded["model"].predict(mini_batch[[f"f{number:02}" for number in range(28)]])
