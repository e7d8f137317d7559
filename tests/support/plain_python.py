"""Score with a model in a plain Python process, without sparkscore, to compare the results.

Usage: python plain_python.py JOBS.json. Each job is a list of KIND, MODEL, ROWS.parquet, METHOD and RESULT.pickle.
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pandas as pd


def predict(kind: str, model: str, frame: pd.DataFrame, method: str) -> Any:
    if kind == "mlflow":
        import mlflow

        loaded = mlflow.pyfunc.load_model(model)
        names = loaded.metadata.get_input_schema()
        rows = frame[names.input_names()] if names.has_input_names() else frame.iloc[:, 1].tolist()
        return (loaded if method == "predict" else loaded.get_raw_model()).__getattribute__(method)(rows)
    if kind == "onnx":
        import onnxruntime

        # Tree ensembles add in an order that depends on the number of threads.
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        features = frame.drop(columns=["key", "text"]).to_numpy("float32")
        return dict(zip(names, session.run(None, {session.get_inputs()[0].name: features}), strict=True))
    if kind == "sklearn":
        import joblib

        estimator = joblib.load(model)
        return getattr(estimator, method)(frame[list(estimator.feature_names_in_)])
    if kind == "xgboost":
        import xgboost

        booster = xgboost.Booster(model_file=model)
        return booster.predict(xgboost.DMatrix(frame[booster.feature_names]))
    import lightgbm

    trees = lightgbm.Booster(model_file=model)
    return trees.predict(frame[trees.feature_name()])


if __name__ == "__main__":
    for kind, model, rows, method, result in json.loads(Path(sys.argv[1]).read_text()):
        Path(result).write_bytes(pickle.dumps(predict(kind, model, pd.read_parquet(rows), method)))
