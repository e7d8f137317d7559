"""What was scored and waits to be published: other requests, other tables, other drivers come in between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sparkscore
from sparkscore import SparkscoreError
from tests.faults.ledger import check_ledger, read_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeDeployment = Callable[..., Path]
Score = Callable[..., sparkscore.Run]
IDS = "def run(frame): return frame['id'].tolist()"
TEXTS = "def run(frame): return [str(id) for id in frame['id']]"
FORMATS = pytest.mark.parametrize("output_format", ["delta", "parquet"])


@pytest.fixture
def score(spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment) -> Score:
    """Score 20 rows with a script into the table 'out'."""
    pq.write_table(pa.table({"id": range(20)}), tmp_path / "rows.parquet")
    made = iter(range(100))

    def run(script: str, run_id: str, publish: str = "auto", **options: Any) -> sparkscore.Run:
        deployment = make_deployment(script, f"deployment-{next(made)}", publish=publish)
        request: dict[str, Any] = {
            "input": tmp_path / "rows.parquet",
            "output": tmp_path / "out",
            "mode": "append",
        } | options
        return sparkscore.score(spark, deployment, run_id=run_id, **request)

    return run


def code_of(work: Callable[[], object]) -> str:
    with pytest.raises(SparkscoreError) as caught:
        work()
    return caught.value.code


@FORMATS
@pytest.mark.parametrize("change", [{"output": "elsewhere"}, {"settings": {"output.stage": "stages"}}], ids=str)
def test_the_id_of_a_held_run_with_another_output_is_refused_and_its_rows_stay(
    score: Score, spark: SparkSession, tmp_path: Path, output_format: str, change: dict[str, Any]
) -> None:
    score(IDS, "night", "audit", output_format=output_format)
    place = {key: tmp_path / value if key == "output" else value for key, value in change.items()}

    with pytest.raises(SparkscoreError, match=r"\[RUN_ID_USED\].*'sparkscore publish night'.*--discard"):
        score(IDS, "night", "audit", output_format=output_format, **place)
    with pytest.raises(SparkscoreError, match=r"\[RUN_ID_USED\].*'sparkscore publish night'.*--discard"):
        score(TEXTS, "night", "audit", output_format=output_format)

    check_ledger(sparkscore.publish(spark, "night").record, tmp_path / "runs", range(20))
    assert read_table(tmp_path / "out").num_rows == 20
