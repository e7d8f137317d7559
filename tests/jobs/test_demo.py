from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import deltalake
import joblib
import pandas as pd
import pyarrow.parquet as pq
import pytest

from sparkscore.cli import run_command_line

Ended = subprocess.CompletedProcess[str]
MEASUREMENTS = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]


@pytest.mark.usefixtures("spark")
def test_the_demo_scores_both_data_sets_and_its_next_commands_work(
    sparkscore: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = sparkscore("demo")

    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout.count("COMPLETE") == 3
    found = re.search(r"([0-9.]+)% correct, on 898 images", ended.stdout)
    assert found is not None
    assert float(found[1]) > 95
    demo = tmp_path / "sparkscore-demo"
    digits = deltalake.DeltaTable(demo / "digits" / "predictions")
    assert digits.to_pyarrow_table().num_rows == 1797
    assert digits.metadata().partition_columns == ["digit"]
    patients = pq.read_table(demo / "diabetes" / "predictions")
    assert {"patient", "age", "progression", "prediction"} <= set(patients.column_names)
    assert patients.num_rows == 442
    registered = deltalake.DeltaTable(demo / "diabetes" / "registered").to_pyarrow_table()
    assert set(registered["model_version"].to_pylist()) == {"1"}
    by_script = dict(zip(patients["patient"].to_pylist(), patients["prediction"].to_pylist(), strict=True))
    by_registry = dict(zip(registered["patient"].to_pylist(), registered["prediction"].to_pylist(), strict=True))
    # Both are equal to the bit to the model's own numbers. The script gets 50 rows for each call, and on some
    # processors, the last bit of a sum depends on the number of rows.
    model = joblib.load(demo / "diabetes" / "model.joblib")
    rows = pd.read_parquet(demo / "diabetes" / "patients.parquet")
    expected = [list(model.predict(rows[first : first + 50][MEASUREMENTS])) for first in range(0, len(rows), 50)]
    assert by_script == dict(zip(rows["patient"], chain(*expected), strict=True))
    assert by_registry == dict(zip(rows["patient"], model.predict(rows[MEASUREMENTS]), strict=True))
    shown, sevens, _ = [
        line.strip() for line in ended.stdout.splitlines() if line.startswith("  ") and "sparkscore " in line
    ][-3:]
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPARKSCORE_RUNS")
    assert type_in(shown) == 0
    assert type_in(sevens) == 0
    assert deltalake.DeltaTable(demo / "sevens").to_pyarrow_table().num_rows == 179


def type_in(line: str) -> int:
    """Run a command of the demo in this process, with the session of the tests, and give its exit code."""
    program, *arguments = shlex.split(line)
    assert program in ("sparkscore", str(Path(sys.executable).with_name("sparkscore")))
    return run_command_line(arguments)
