"""Name the digit on each image of a mini-batch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from PIL import Image

model: Any = None


def init() -> None:
    """Load the model. Runs once in each worker process."""
    global model  # noqa: PLW0603 - what init() loads is there for run()
    model = joblib.load(Path(os.environ["AZUREML_MODEL_DIR"], "model.joblib"))


def run(mini_batch: list[str]) -> list[dict[str, Any]]:
    """Score some images.

    Args:
        mini_batch: paths of PNG files.

    Returns:
        for each image its digit, and by how much that one was ahead of the second best.
    """
    pixels = np.stack([_read_pixels(path) for path in mini_batch])
    scores = np.sort(model.decision_function(pixels), axis=1)
    digits = model.predict(pixels)
    margins = scores[:, -1] - scores[:, -2]
    return [{"digit": int(digit), "margin": float(margin)} for digit, margin in zip(digits, margins, strict=True)]


def _read_pixels(path: str) -> Any:
    """Read an image as the model knows it: 64 numbers from 0 to 16."""
    with Image.open(path) as image:
        return np.asarray(image, dtype=float).ravel() * 16 / 255
