from __future__ import annotations

from pathlib import Path
from typing import Any

import deltalake
import joblib
import numpy as np
import pandas as pd
import pyarrow.dataset
from PIL import Image
from pyspark.sql import SparkSession

import sparkscore
from sparkscore.cli.demo_data import make_diabetes, make_digits

DEPLOYMENTS = Path(__file__).parents[2] / "conf" / "deployments"
MEASUREMENTS = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]


def test_the_digits_are_those_of_the_model_itself(spark: SparkSession, tmp_path: Path) -> None:
    data = make_digits(tmp_path / "digits")
    model = joblib.load(data.model)

    run = sparkscore.score(
        spark,
        DEPLOYMENTS / "digits.yml",
        input=data.input,
        output=tmp_path / "out",
        settings={"model.path": str(data.model)},
    )

    rows = deltalake.DeltaTable(str(tmp_path / "out")).to_pyarrow_table().to_pylist()
    assert run.record["counts"]["scored"] == len(rows) == 1797
    pixels = np.array([pixels_of(row["source_file"]) for row in rows])
    scores = np.sort(model.decision_function(pixels))
    assert [row["digit"] for row in rows] == model.predict(pixels).tolist()
    assert np.allclose([row["margin"] for row in rows], scores[:, -1] - scores[:, -2], rtol=1e-12, atol=0)


def pixels_of(file: str) -> Any:
    with Image.open(file) as image:
        return np.asarray(image, dtype=float).ravel() * 16 / 255


def test_the_patients_are_those_of_the_model_called_in_a_loop(spark: SparkSession, tmp_path: Path) -> None:
    data = make_diabetes(tmp_path / "diabetes")
    model = joblib.load(data.model)
    patients = pd.read_parquet(data.input)

    sparkscore.score(
        spark,
        DEPLOYMENTS / "diabetes.yml",
        input=data.input,
        output=tmp_path / "out",
        settings={"model.path": str(data.model)},
    )

    rows = pyarrow.dataset.dataset(tmp_path / "out", partitioning="hive").to_table().sort_by("patient").to_pandas()
    # The same mini-batches of 50 rows: with others the last bit may differ, since NumPy adds in another order.
    starts = range(0, len(patients), 50)
    expected = np.concatenate([model.predict(patients[MEASUREMENTS].iloc[start : start + 50]) for start in starts])
    assert rows["patient"].tolist() == patients["patient"].tolist()
    assert rows["prediction"].tolist() == expected.tolist()
    assert rows[["age", "progression"]].equals(patients[["age", "progression"]])
