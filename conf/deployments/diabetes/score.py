"""Estimate the progress of diabetes for each patient of a mini-batch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import joblib
import pandas as pd

MEASUREMENTS = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
model: Any = None


def init() -> None:
    """Load the model. Runs once in each worker process."""
    global model  # noqa: PLW0603 - what init() loads is there for run()
    model = joblib.load(Path(os.environ["AZUREML_MODEL_DIR"], "model.joblib"))


def run(mini_batch: pd.DataFrame) -> Any:
    """Score some patients.

    Args:
        mini_batch: a row for each patient.

    Returns:
        a number for each row, in the order of the rows; it becomes the column 'prediction'.
    """
    return model.predict(mini_batch[MEASUREMENTS])
