"""Define the description of a model that is scored without a scoring script (driver)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sparkscore.signature.model_signature import ModelSignature

ModelFormat = Literal["mlflow", "spark", "onnx", "sklearn", "xgboost", "lightgbm"]


@dataclass(frozen=True)
class ModelDescription:
    """The description of a model that is scored without a scoring script.

    Attributes:
        model_format: the format of the model's files, which decides the scorer.
        flavors: names of the flavors of an MLflow model. For any other model, one string with its format, for example
            ``xgboost .json``.
        signature: the inputs, outputs and parameters of the model, as far as they are known.
        requirements: the packages that MLflow recorded, as lines of a pip requirements file. Empty if the model is not
            an MLflow model.
        python_version: the version of Python that MLflow recorded, or None if it is not known.
        runs_code: whether loading the model can run any code, for example because it has a pickle or a Python module.
        signature_advice: advice for users of a model whose signature has no inputs. Empty for ONNX models, which always
            have inputs.
    """

    model_format: ModelFormat
    flavors: tuple[str, ...]
    signature: ModelSignature
    requirements: tuple[str, ...] = ()
    python_version: str | None = None
    runs_code: bool = False
    signature_advice: str = ""
