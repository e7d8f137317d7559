"""Define the specifications from which workers build scorers for models without a scoring script.

Runs on the driver and the workers.

The driver creates a specification, pickles it and sends it to the workers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final, Literal

from sparkscore.scorers.dtypes import Dtypes
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.signature.model_signature import Feed

Framework = Literal["sklearn", "xgboost", "lightgbm"]
#: Suffixes of files that may contain arbitrary pickled Python objects.
PICKLES: Final = frozenset({".joblib", ".p", ".pickle", ".pk", ".pkl", ".sav"})


@dataclass(frozen=True)
class MlflowSpec:
    """Specification of an MLflow model, which is called through its pyfunc or through methods of the wrapped model.

    Attributes:
        files: the model's files.
        feeds: the model's inputs and the columns that are passed to each, or None if the driver does not know the
            inputs.
        predict_fn: names of the methods to call. If there are several, each one produces one column. If empty, the
            pyfunc's ``predict`` is called.
        params: parameters passed to the methods, as (name, value) pairs.
        order_doubt: why the order of the input columns is unknown, or an empty string if it is known.
        dtypes: dtype options for the DataFrames that are passed to the model. The options refer to columns by their
            names in the input.
    """

    files: ModelFiles
    feeds: tuple[Feed, ...] | None
    predict_fn: tuple[str, ...] = ()
    params: tuple[tuple[str, object], ...] = ()
    order_doubt: str = ""
    dtypes: Dtypes = field(default_factory=Dtypes)


@dataclass(frozen=True)
class FrameworkSpec:
    """Specification of a scikit-learn, XGBoost or LightGBM model file.

    Attributes:
        files: the model file.
        framework: the library that the model needs.
        feeds: the model's inputs and the column that is passed to each, or None if the driver does not know the inputs.
        predict_fn: names of the methods to call. If there are several, each one produces one column. If empty,
            ``predict`` is called.
        params: parameters passed to the methods, as (name, value) pairs.
        order_doubt: why the order of the input columns is unknown, or an empty string if it is known.
        dtypes: dtype options for the DataFrames that are passed to the model. The options refer to columns by their
            names in the input.
    """

    files: ModelFiles
    framework: Framework
    feeds: tuple[Feed, ...] | None
    predict_fn: tuple[str, ...] = ()
    params: tuple[tuple[str, object], ...] = ()
    order_doubt: str = ""
    dtypes: Dtypes = field(default_factory=Dtypes)


@dataclass(frozen=True)
class OnnxSpec:
    """Specification of an ONNX model, which is run by ONNX Runtime.

    Attributes:
        files: the model's files.
        graph: path of the graph file inside the model's folder, or an empty string if the model is a single file.
        feeds: the graph's inputs and the columns that are passed to each.
        outputs: the graph outputs to return, each paired with the name of its column.
        providers: names of execution providers, in order of preference. If empty, the CPU provider is used.
        session_options: session options from the deployment, as (name, value) pairs.
        threads: number of threads that compute one operator, which is the number of cores per Spark task.
    """

    files: ModelFiles
    graph: str
    feeds: tuple[Feed, ...]
    outputs: tuple[tuple[str, str], ...]
    providers: tuple[str, ...] = ()
    session_options: tuple[tuple[str, object], ...] = ()
    threads: int = 1


@dataclass(frozen=True)
class RowsSpec:
    """Specification for rows that Spark has already scored with a ``pyspark.ml`` pipeline.

    The worker only selects the prediction columns.

    Attributes:
        columns: names of the prediction columns: those declared in the deployment's ``output.schema``, or otherwise
            all columns that the pipeline added.
    """

    columns: tuple[str, ...]


def is_without_code(scorer: object) -> bool:
    """Return whether a scorer's files hold no Python code: an ONNX graph, or a file that XGBoost or LightGBM wrote.

    Scripts, pickles and MLflow models may do anything in the process that loads them.
    """
    if isinstance(scorer, FrameworkSpec):
        return PurePath(scorer.files.file_name or scorer.files.source).suffix.lower() not in PICKLES
    return isinstance(scorer, OnnxSpec)
