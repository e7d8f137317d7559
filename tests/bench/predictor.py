"""What a model does to a batch, the same for all sides: they differ in how the rows get here and where they go.

Runs in workers of every side, so it needs PyArrow, NumPy and the library of the model only.
"""

from __future__ import annotations

import importlib.util
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tests.bench.cases import Case

BATCH: Final = 10_000
LOADS: Final = "SPARKSCORE_BENCH_LOADS"
Matrix = npt.NDArray[np.float32]
Predict = Callable[[Matrix], npt.NDArray[Any]]


class Columns(Protocol):
    """A record batch or a table of PyArrow."""

    num_rows: int

    def column(self, name: str) -> Any:
        """Return a column by its name."""


def note_load() -> None:
    """Leave a file that says that this process loaded a model, where the harness counts."""
    if folder := os.environ.get(LOADS):
        (Path(folder) / f"{os.getpid()}-{uuid.uuid4().hex}").touch()


def loads_noted(folder: Path) -> tuple[int, int]:
    """Return the number of loads and of processes that loaded, by the files of `note_load`."""
    pids = [path.name.partition("-")[0] for path in folder.iterdir()]
    return len(pids), len(set(pids))


def matrix_of(batch: Columns, features: Sequence[str]) -> Matrix:
    """Return the features of a batch as rows of floats; NULL becomes NaN."""
    return matrix_of_arrays([batch.column(name).to_numpy(zero_copy_only=False) for name in features])


def matrix_of_arrays(columns: Sequence[npt.NDArray[Any]]) -> Matrix:
    """Return the same from one array for each feature."""
    # Whole columns first and then one turn: quicker than writing each value to its place in a row.
    matrix = np.empty((len(columns), len(columns[0])), dtype=np.float32)
    for number, column in enumerate(columns):
        matrix[number] = column
    return np.ascontiguousarray(matrix.T)


def load_predict(case: Case) -> Predict:
    """Load the model of a case, with one thread, and return what scores a matrix."""
    note_load()
    if case.engine == "onnx":
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(case.model, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda matrix: np.asarray(session.run(None, {name: matrix})[0])
    if case.engine == "xgboost":
        import xgboost

        booster = xgboost.Booster(model_file=case.model)
        booster.set_param("nthread", "1")
        return lambda matrix: np.asarray(booster.inplace_predict(matrix, validate_features=False))
    if case.engine == "pyfunc":
        return lambda matrix: np.asarray(matrix.sum(axis=1, dtype=np.float64))
    import joblib
    import pandas as pd

    estimator = joblib.load(case.model)
    return lambda matrix: np.asarray(estimator.predict(pd.DataFrame(matrix, columns=list(case.features))))


def score_batch(predict: Predict, batch: Columns, case: Case) -> pa.RecordBatch:
    """Return the carried columns of a batch, and the prediction."""
    columns = [batch.column(name) for name in case.carry]
    prediction = pa.array(predict(matrix_of(batch, case.features)))
    return pa.RecordBatch.from_arrays([*columns, prediction], names=[*case.carry, "prediction"])


def prediction_type(case: Case) -> str:
    """Return the type of the prediction in Spark's DDL."""
    return "float" if case.engine in {"onnx", "xgboost"} else "double"


def load_script(case: Case) -> Callable[[list[str]], list[Mapping[str, Any]]]:
    """Load the scoring script of a case, and return its run()."""
    note_load()
    spec = importlib.util.spec_from_file_location("bench_script", case.model)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run: Callable[[list[str]], list[Mapping[str, Any]]] = module.run
    return run
