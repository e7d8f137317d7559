"""Paths with signs that SQL, Spark's variables, globs or time travel would take for something else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import deltalake
import pyarrow as pa
import pytest

import sparkscore
from tests.support.ledger import read_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS = pa.table({"id": range(4), "dot.t`ed ${x}": [1.0] * 4})
COUNTS = "def run(frame): return frame['id'].tolist()"


VARIABLES, SIGNS, ENCODED = "a ${spark.app.name} ${x}", "`b';\"--\\n [c]{d}*?", "%24{x}#é😀@v0"


@pytest.mark.parametrize(
    ("name", "output_format"),
    [
        (VARIABLES, "delta"),
        (SIGNS, "delta"),
        (ENCODED, "delta"),
        ("c:d ` $;", "delta"),
        (SIGNS, "parquet"),
        (ENCODED, "parquet"),
    ],
)
def test_tables_at_odd_places_are_read_and_appended_to(
    spark: SparkSession,
    tmp_path: Path,
    make_deployment: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    output_format: str,
) -> None:
    place = tmp_path / name
    place.mkdir()
    monkeypatch.setenv("SPARKSCORE_RUNS", str(place / "runs"))
    deltalake.write_deltalake(tmp_path / "plain", ROWS)
    (tmp_path / "plain").rename(place / name)
    columns, carry = {"run_id": "the.run", "prediction": "p.q"}, ["id"]
    if output_format == "parquet":  # Delta has no names with such signs
        columns, carry = columns | {"source_file": "f `${x}"}, ROWS.column_names
    output = {"carry": carry, "format": output_format}
    deployment = make_deployment(COUNTS, isolation="none", columns=columns, output=output)

    for number in (1, 2):
        run = sparkscore.score(
            spark, deployment, input=place / name, input_format="delta", output=place / "out", mode="append"
        )
        assert sorted(row["p.q"] for row in run.predictions().collect()) == [0, 1, 2, 3]
        assert run.record["output"]["rows"] == 4
        copy = shutil.copytree(place / "out", tmp_path / f"copy-{number}")  # other readers have odd names of their own
        assert output_format == "parquet" or read_table(copy).num_rows == 4 * number
    assert {entry.name for entry in tmp_path.iterdir()} == {name, "deployment", "copy-1", "copy-2"}
    assert {entry.name for entry in place.iterdir()} == {name, "out", "runs"}
