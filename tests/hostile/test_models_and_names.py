"""Models with categories and old versions, and names that a table does not store, through Spark and read by others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deltalake
import joblib
import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from sklearn.linear_model import LogisticRegression

import sparkscore
from sparkscore.cli import run_command_line

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RANDOM = np.random.default_rng(3)
ROWS = pd.DataFrame(
    {
        "id": range(200),
        "n": RANDOM.normal(size=200),
        "the city": RANDOM.choice(["b", "a", "Köln", "Zz"], 200),
        "yes": RANDOM.choice([True, False], 200),
    }
)
Y = ROWS["n"] + ROWS["the city"].astype("category").cat.codes + ROWS["yes"]
QUIET = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 3}


def test_categories_names_with_blanks_and_a_count_of_unseen_values(spark: SparkSession, tmp_path: Path) -> None:
    trained = ROWS[["n", "the city", "yes"]].astype({"the city": "category"})
    lightgbm.train(QUIET, lightgbm.Dataset(trained, Y), 10).save_model(tmp_path / "m.txt")
    rows = ROWS.assign(**{"the city": ROWS["the city"].where(ROWS["id"] % 50 > 0, "nowhere")})
    rows.loc[7, "the city"] = None
    pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), tmp_path / "rows.parquet")
    settings = {"model.path": str(tmp_path / "m.txt"), "model.framework": "lightgbm", "settings.mini_batch_size": 7}
    options: dict[str, Any] = {"input": tmp_path / "rows.parquet", "output": tmp_path / "out"}

    with pytest.raises(sparkscore.SparkscoreError, match="OUTPUT_COLUMN_NAMES") as caught:
        sparkscore.score(spark, None, **options, settings=settings)
    advice = caught.value.next_step
    line = yaml.safe_load(advice[advice.index("columns: ") : advice.index("}'") + 1])
    run = sparkscore.score(
        spark, None, **options, partition_by=["the_city"], settings=settings | {"columns": line["columns"]}
    )

    found = deltalake.DeltaTable(tmp_path / "out").to_pyarrow_table().sort_by("id").to_pandas()
    assert found.columns[:5].tolist() == ["id", "n", "the_city", "yes", "prediction"]
    as_trained = rows.assign(**{"the city": pd.Categorical(rows["the city"], trained["the city"].cat.categories)})
    expected = lightgbm.Booster(model_file=tmp_path / "m.txt").predict(as_trained[["n", "the city", "yes"]])
    assert found["prediction"].to_numpy().tobytes() == np.asarray(expected).tobytes()
    assert run.record["unseen_categories"] == {"the_city": 4}
    assert sum("'the_city' 4" in told for told in run.record["warnings"]) == 1


def test_a_library_that_warns_is_heard_once_and_an_escape_never_reaches_the_terminal(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as before:
        before.setattr("sklearn.base.__version__", "0.9\x1b[31m")
        joblib.dump(LogisticRegression().fit(ROWS[["n"]], ROWS["yes"]), tmp_path / "m.joblib")
    names = ["n", "a\x1b]0;x\x07\u202eb\nc"]
    pq.write_table(pa.table({names[0]: [0.5] * 40, names[1]: ["\x1b[2J"] * 40}), tmp_path / "rows.parquet")
    deployment = tmp_path / "d.yml"
    deployment.write_text(
        "model: {path: m.joblib, framework: sklearn}\ntrust: code\nsettings: {mini_batch_size: 5}\n"
        "output: {format: parquet}\n"
    )

    code = run_command_line(
        ["run", str(deployment), "--input", str(tmp_path / "rows.parquet"), "--output", str(tmp_path / "out"),
         "--runs", str(tmp_path / "runs"), "--run-id", "r"]
    )  # fmt: skip

    shown = "".join(capsys.readouterr())
    assert code == 0, shown
    assert [sign for sign in shown if sign in "\x1b\x07\u202e"] == []
    assert shown.count("InconsistentVersionWarning") == 1
    record = json.loads((tmp_path / "runs" / "r" / "record.json").read_text())
    assert [told for told in record["warnings"] if "0.9\x1b[31m" in told]
    assert names[1] in record["output"]["columns"]
    assert spark is not None
