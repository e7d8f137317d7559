"""What the driver knows of a model before it is loaded (driver)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sparkscore.signature.model_signature import ModelSignature

ModelKind = Literal["mlflow", "spark", "onnx", "sklearn", "xgboost", "lightgbm"]


@dataclass(frozen=True)
class ModelDescription:
    """What the driver knows of a model that has no scoring script.

    Attributes:
        kind: which scorer it needs.
        flavors: MLflow's flavors, or the file's format.
        signature: its inputs and outputs.
        requirements: the packages that it names, as pip writes them.
        python_version: the Python that it was made with, if it says so.
        runs_code: whether loading it can run any code: pickles, custom pyfuncs, modules of its own.
        signature_advice: how a signature is added, where there is none.
    """

    kind: ModelKind
    flavors: tuple[str, ...]
    signature: ModelSignature
    requirements: tuple[str, ...] = ()
    python_version: str | None = None
    runs_code: bool = False
    signature_advice: str = ""
