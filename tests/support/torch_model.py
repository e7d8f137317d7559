"""Save a small PyTorch model and score it, in a Python with PyTorch: python torch_model.py MODEL ROWS RESULT."""

from __future__ import annotations

import sys

import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

if __name__ == "__main__":
    model_path, rows, result = sys.argv[1:]
    torch.manual_seed(1)
    torch.set_num_threads(1)
    model = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
    inputs = Schema([TensorSpec(np.dtype("float32"), (-1, 6))])
    outputs = Schema([TensorSpec(np.dtype("float32"), (-1, 2))])
    signature = ModelSignature(inputs, outputs)
    mlflow.pytorch.save_model(model, model_path, signature=signature, pip_requirements=["torch"])
    features = pd.read_parquet(rows).drop(columns=["key", "text"]).to_numpy("float32")
    np.save(result, mlflow.pyfunc.load_model(model_path).predict(features))
