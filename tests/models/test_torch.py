"""PyTorch, in an interpreter of its own: `make test-torch` makes one from the system's packages.

PyTorch from the registry of Python packages brings gigabytes for graphics cards, so it is not part of these tests' own
environment; that a model is scored in another interpreter is what `python.path` is for.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

import sparkscore
from tests.support import flavors

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PYTHON = os.environ.get("SPARKSCORE_TORCH_PYTHON")


@pytest.mark.skipif(PYTHON is None, reason="SPARKSCORE_TORCH_PYTHON names no Python with PyTorch: make test-torch")
def test_pytorch_gives_what_it_gives_in_plain_python(spark: SparkSession, tmp_path: Path) -> None:
    rows = tmp_path / "rows.parquet"
    frame = flavors.make_rows()
    frame = frame.assign(**frame[flavors.FEATURES].clip(-3e38, 3e38))  # what would be infinite as a float is refused
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), rows)
    make = [str(PYTHON), str(Path(flavors.__file__).with_name("torch_model.py")), str(tmp_path / "model"), str(rows)]
    own = {"OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    subprocess.run([*make, str(tmp_path / "plain.npy")], check=True, cwd=tmp_path, env=os.environ | own)

    run = sparkscore.score(
        spark,
        None,
        model=tmp_path / "model",
        input=rows,
        output=tmp_path / "out",
        output_format="parquet",
        settings={
            "trust": "code",
            "python.path": PYTHON,
            "model.round_inputs": True,
            "input.columns": flavors.FEATURES,
        },
    )

    scored = pyarrow.dataset.dataset(tmp_path / "out", partitioning="hive").to_table()
    found = np.array(scored.column("prediction").to_pylist(), dtype="float32")
    assert found.tobytes() == np.load(tmp_path / "plain.npy").tobytes()
    assert "pytorch" in run.record["model"]["flavors"]
    assert run.record["counts"]["scored"] == 10_000
