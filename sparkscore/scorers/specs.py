"""What workers are told about models that need no scoring script; plain and picklable (driver and worker)."""

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
    """An MLflow model, scored by its pyfunc, or by named methods of the model that it wraps.

    Attributes:
        files: the model.
        feeds: its inputs; None where the model has no signature and gets all columns as they are.
        predict_fn: methods to call instead of the pyfunc's ``predict``, each giving a column if there are several.
        params: parameters of ``predict``, as pairs.
        order_doubt: why the columns must not be taken by position; empty where they may.
        dtypes: those of the DataFrame, by the names of the input's columns.
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
        files: the model.
        framework: the library that wrote it.
        feeds: its inputs; None where the file does not name them.
        predict_fn: methods to call, each giving a column if there are several; ``predict`` when empty.
        params: arguments of the methods, as pairs.
        order_doubt: why the columns must not be taken by position; empty where they may.
        dtypes: those of the DataFrame, by the names of the input's columns.
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
        files: the model.
        graph: path of the graph inside the model's folder; empty where the model is that file.
        feeds: its inputs.
        outputs: the graph's outputs that are wanted, and the columns that they become, as pairs.
        providers: execution providers, the preferred first; ONNX Runtime's own for the CPU when empty.
        session_options: further options of the session, as pairs.
        threads: intra-op threads: the cores of one Spark task.
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
    """Rows that Spark itself has scored already (a ``pyspark.ml`` pipeline): take the model's columns out of them.

    Attributes:
        columns: the columns that the model added.
    """

    columns: tuple[str, ...]
