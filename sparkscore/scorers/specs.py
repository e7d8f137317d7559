"""Specifications from which workers build the scorers of models without a scoring script (driver and worker).

The driver makes a specification, pickles it and sends it to the workers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from sparkscore.scorers.dtypes import Dtypes
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.signature.model_signature import Feed

Framework = Literal["sklearn", "xgboost", "lightgbm"]
#: Endings of files that can hold any Python object.
PICKLES: Final = frozenset({".joblib", ".p", ".pickle", ".pk", ".pkl", ".sav"})


@dataclass(frozen=True)
class MlflowSpec:
    """Specification of an MLflow model, which is scored with its pyfunc or with methods of the model inside the pyfunc.

    Attributes:
        files: the model's files.
        feeds: the model's inputs, each with the columns that it gets, or None if the driver does not know the inputs.
        predict_fn: names of the methods to call. If there are several, each of them fills one column. If empty, the
            ``predict`` of the pyfunc is called.
        params: parameters of the methods, as pairs of name and value.
        order_doubt: why the order of the input's columns is not known, or an empty string if it is known.
        dtypes: the dtypes of the DataFrames that the model gets, with the names that the columns have in the input.
    """

    files: ModelFiles
    feeds: tuple[Feed, ...] | None
    predict_fn: tuple[str, ...] = ()
    params: tuple[tuple[str, object], ...] = ()
    order_doubt: str = ""
    dtypes: Dtypes = field(default_factory=Dtypes)


@dataclass(frozen=True)
class FrameworkSpec:
    """Specification of a model file of scikit-learn, XGBoost or LightGBM.

    Attributes:
        files: the model's file.
        framework: the library that the model needs.
        feeds: the model's inputs, each with the column that it gets, or None if the driver does not know the inputs.
        predict_fn: names of the methods to call. If there are several, each of them fills one column. If empty,
            ``predict`` is called.
        params: parameters of the methods, as pairs of name and value.
        order_doubt: why the order of the input's columns is not known, or an empty string if it is known.
        dtypes: the dtypes of the DataFrames that the model gets, with the names that the columns have in the input.
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
    """Specification of an ONNX graph, which ONNX Runtime runs.

    Attributes:
        files: the model's files.
        graph: path of the graph inside the model's folder, or an empty string if the model is one file.
        feeds: the inputs of the graph, each with the columns that it gets.
        outputs: pairs of an output of the graph and the column that it becomes. Other outputs are not returned.
        providers: names of execution providers, the preferred one first. If empty, the provider for the CPU is used.
        session_options: the deployment's options for the session, as pairs of name and value.
        threads: number of threads that compute one operator: as many as one Spark task has cores.
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
    """Specification for rows that a ``pyspark.ml`` pipeline has already scored in Spark.

    The worker only selects the prediction columns.

    Attributes:
        columns: names of the prediction columns: those that the deployment declares in ``output.schema``, or else all
            columns that the pipeline has added to the rows.
    """

    columns: tuple[str, ...]
