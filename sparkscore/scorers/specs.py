"""Specifications of models without a scoring script, which the driver sends to workers (driver and worker).

All of them are picklable.
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
    """An MLflow model, scored by its pyfunc or by methods of the model that the pyfunc wraps.

    Attributes:
        files: the model's files.
        feeds: the model's inputs; None if it has no signature and gets all columns unchanged.
        predict_fn: methods to call instead of the pyfunc's ``predict``; several methods give one column each.
        params: parameters of ``predict``, as pairs of name and value.
        order_doubt: why the columns must not be taken by position; empty if they may.
        dtypes: dtypes of the DataFrame, by the names of the input's columns.
    """

    files: ModelFiles
    feeds: tuple[Feed, ...] | None
    predict_fn: tuple[str, ...] = ()
    params: tuple[tuple[str, object], ...] = ()
    order_doubt: str = ""
    dtypes: Dtypes = field(default_factory=Dtypes)


@dataclass(frozen=True)
class FrameworkSpec:
    """A plain model file of scikit-learn, XGBoost or LightGBM.

    Attributes:
        files: the model's file.
        framework: the library that wrote the file.
        feeds: the model's inputs; None if the file does not name them.
        predict_fn: methods to call; several methods give one column each. If empty, ``predict`` is called.
        params: arguments of the methods, as pairs of name and value.
        order_doubt: why the columns must not be taken by position; empty if they may.
        dtypes: dtypes of the DataFrame, by the names of the input's columns.
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
    """An ONNX graph, run by ONNX Runtime.

    Attributes:
        files: the model's files.
        graph: path of the graph inside the model's folder; empty if the model is one file.
        feeds: the graph's inputs.
        outputs: pairs of an output of the graph and the column that it becomes; other outputs are not computed.
        providers: execution providers, the preferred one first; if empty, the provider for the CPU.
        session_options: further options of the session, as pairs of name and value.
        threads: number of threads that compute one operator; the cores of one Spark task.
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
    """Rows that a ``pyspark.ml`` pipeline has scored in Spark; the worker selects the columns of the model.

    Attributes:
        columns: the columns that the model added.
    """

    columns: tuple[str, ...]
