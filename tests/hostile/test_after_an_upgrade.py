"""A run that an earlier commit has held is published by this one; its files carry no format number."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

import sparkscore
from sparkscore.record.checksum import SUM, summed
from sparkscore.run import discard

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DATA = Path(__file__).parents[1] / "data" / "held_run"
#: Where that run was; its files lie elsewhere now, which an upgrade does not do.
HOME = "/home/ada"


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    for path in (DATA / "runs").rglob("*.*"):
        copy = tmp_path / path.relative_to(DATA)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    for path in (tmp_path / "runs").rglob("*.json"):
        content = json.loads(path.read_text().replace(HOME, str(tmp_path)))
        path.write_text(json.dumps(content if content.pop(SUM, None) is None else summed(content)))
    stage = tmp_path / "held-out" / "_sparkscore" / "held"
    return Path(shutil.copytree(DATA / "out" / "stage", stage))


def test_it_is_published_with_its_quarantine_and_its_attempts(stage: Path, spark: SparkSession, tmp_path: Path) -> None:
    run = sparkscore.publish(spark, "held")

    rows = pq.read_table(tmp_path / "held-out" / "run_id=held").sort_by("x")
    assert rows.select(["x", "prediction"]).to_pylist() == [
        {"x": 1, "prediction": 2.0}, {"x": 2, "prediction": 4.0}, {"x": 4, "prediction": 8.0},
    ]  # fmt: skip
    assert [row.x for row in run.predictions().orderBy("x").collect()] == [1, 2, 4]
    failed = pq.read_table(tmp_path / "held-out_quarantine" / "run_id=held").to_pylist()
    assert [json.loads(row["row"]) for row in failed] == [{"x": 3}]
    assert [row["row"] for row in run.quarantine().collect()] == [failed[0]["row"]]
    assert sum(row.scored for row in run.attempts().collect()) == 3
    assert run.record["state"] == "COMPLETE"
    assert not stage.exists()


def test_it_is_discarded(stage: Path) -> None:
    assert discard("held")["state"] == "ABORT"
    assert not stage.exists()
