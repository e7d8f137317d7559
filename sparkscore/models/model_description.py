"""The description of a model that the driver reads from its files, without loading it (driver)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sparkscore.signature.model_signature import ModelSignature

ModelFormat = Literal["mlflow", "spark", "onnx", "sklearn", "xgboost", "lightgbm"]


@dataclass(frozen=True)
class ModelDescription:
    """The description of a model that has no scoring script.

    Attributes:
        model_format: the format of its files, which decides the scorer.
        flavors: MLflow's flavors; for other models, the format and ending of the file.
        signature: its inputs and outputs.
        requirements: the packages that it lists, as lines of a pip requirements file.
        python_version: the version of Python that made it, if it is recorded.
        runs_code: whether loading it can run any code, because it has pickles, custom pyfuncs or modules.
        signature_advice: how the user can add a signature to a model without one.
    """

    model_format: ModelFormat
    flavors: tuple[str, ...]
    signature: ModelSignature
    requirements: tuple[str, ...] = ()
    python_version: str | None = None
    runs_code: bool = False
    signature_advice: str = ""
