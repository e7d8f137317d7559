"""Runs whose script or model gives no element for each row, read back with PyArrow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sparkscore

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeDeployment = Callable[..., Path]
DECLARED = {"schema": "prediction double", "carry": ["id"], "format": "parquet"}
SETTINGS: dict[str, Any] = {"error_threshold": -1, "mini_batch_size": 10, "retry_settings": {"max_retries": 0}}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    texts = [f"{word} film" for word in ["good", "bad", "dull", "great"] * 5]
    pq.write_table(pa.table({"id": range(20), "text": texts}), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


def read(place: Path) -> list[dict[str, Any]]:
    files = [file for file in place.rglob("*.parquet") if not file.name.startswith((".", "_"))]
    return sorted((row for file in files for row in pq.read_table(file).to_pylist()), key=lambda row: row["id"])


@pytest.mark.parametrize(
    "script",
    [
        ("def run(frame): return [float(frame['id'].sum())]", 10),
        ("def run(frame): return [float(len(name)) for name in frame]", 2),
        ("def run(frame):\n    frame['y'] = [1.0]\n    return frame['y'].tolist()", 10),
    ],
    ids=["one sum", "a value for each column", "the script finds the lengths to differ"],
)
@pytest.mark.parametrize("output", [DECLARED, {"format": "parquet"}], ids=["declared", "probed"])
def test_a_broken_contract_publishes_nothing(
    script: tuple[str, int], output: dict[str, Any], spark: SparkSession, tmp_path: Path, rows: Path,
    make_deployment: MakeDeployment,
) -> None:  # fmt: skip
    settings = SETTINGS | {"mini_batch_size": script[1]}
    deployment = make_deployment(script[0], settings=settings, output=output)

    with pytest.raises(sparkscore.SparkscoreError) as caught:
        sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    assert "broken contract" in str(caught.value) or caught.value.code == "SCRIPT_RUN"
    assert not (tmp_path / "out").exists()


def test_a_broken_contract_of_some_mini_batches_is_named_everywhere(
    spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment
) -> None:
    script = """
    def run(frame):
        return frame["id"].astype(float).tolist() if 0 in set(frame["id"]) else [float(frame["id"].sum())]
    """
    deployment = make_deployment(script, settings=SETTINGS, output=DECLARED)

    run = sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    counts = run.record["counts"]
    assert (counts["scored"], counts["failed"], counts["broken_contracts"]) == (10, 10, 1)
    assert "broken contract" in run.record["warnings"][0]
    assert [(row["id"], row["prediction"]) for row in read(tmp_path / "out")] == [(x, float(x)) for x in range(10)]
    quarantine = pq.read_table(next((tmp_path / "out_quarantine").rglob("*.parquet"))).to_pylist()
    assert {(row["error_code"], row["message"][:15]) for row in quarantine} == {("OUTPUT_ROWS", "broken contract")}


def test_what_is_scored_in_parts_only_is_counted_and_warned_of(
    spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment, caplog: pytest.LogCaptureFixture
) -> None:
    script = "def run(frame):\n    assert len(frame) < 10\n    return [float(frame['id'].mean())] * len(frame)"
    deployment = make_deployment(script, settings=SETTINGS, output=DECLARED)

    run = sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    assert (run.record["counts"]["scored_in_parts"], run.record["counts"]["attempts"]) == (20, 8)
    assert "2 of 2 mini-batches" in run.record["warnings"][0]
    assert run.record["warnings"][0] in caplog.text


def test_a_fault_that_passes_leaves_the_values_of_whole_mini_batches(
    spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment
) -> None:
    script = """
    failed = set()
    def run(frame):
        first = frame["id"].iloc[0]
        if first not in failed and len(frame) == 10:
            failed.add(first)
            raise OSError("the network")
        return [float(frame["id"].mean())] * len(frame)
    """
    deployment = make_deployment(script, settings=SETTINGS, output=DECLARED)

    run = sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    assert [row["prediction"] for row in read(tmp_path / "out")] == [4.5] * 10 + [14.5] * 10
    assert (run.record["counts"]["scored_in_parts"], run.record["warnings"]) == (0, [])


def test_a_text_model_scores_the_texts(spark: SparkSession, tmp_path: Path, rows: Path) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 - takes a second
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - see above
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415 - see above

    texts = pq.read_table(rows).column("text").to_pylist()
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0, 0, 1] * 5)
    joblib.dump(model, tmp_path / "model.joblib")
    settings = {"model.framework": "sklearn", "trust": "code", "input.columns": ["text"]}
    settings |= {"model.predict_fn": ["predict_proba"], "output.format": "parquet"}

    sparkscore.score(
        spark, None, model=tmp_path / "model.joblib", input=rows, output=tmp_path / "out", settings=settings
    )

    (file,) = [file for file in (tmp_path / "out").rglob("*.parquet") if not file.name.startswith((".", "_"))]
    found = {row["text"]: row["prediction"] for row in pq.read_table(file).to_pylist()}
    assert found == dict(zip(texts, np.asarray(model.predict_proba(texts)).tolist(), strict=True))
