"""Define the description of a model that is used without a scoring script. Runs on the driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sparkscore.signature.model_signature import ModelSignature

ModelFormat = Literal["mlflow", "spark", "onnx", "sklearn", "xgboost", "lightgbm"]


@dataclass(frozen=True)
class ModelDescription:
    """The description of a model that is used without a scoring script.

    Attributes:
        model_format: the format of the model's files, which determines the scorer.
        flavors: the flavor names of an MLflow model. For other models, a single string with the format, for example
            ``xgboost .json``.
        signature: the model's inputs, outputs and parameters, as far as they are known.
        requirements: the packages that MLflow recorded, as lines of a pip requirements file. Empty for other models.
        python_version: the Python version that MLflow recorded, or None if it is not known.
        runs_code: whether loading the model can run arbitrary code, for example from a pickle or a Python module.
        signature_advice: advice to show if the model's signature has no inputs. Empty for ONNX models, whose signatures
            always have inputs.
    """

    model_format: ModelFormat
    flavors: tuple[str, ...]
    signature: ModelSignature
    requirements: tuple[str, ...] = ()
    python_version: str | None = None
    runs_code: bool = False
    signature_advice: str = ""
