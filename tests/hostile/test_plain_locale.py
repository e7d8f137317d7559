"""A process of cron's or a container's, whose locale knows no umlauts: names, values and folders keep theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable

SCRIPT = """
def run(mini_batch):
    return mini_batch["größe"] * 2.0
"""
DEPLOYMENT = """
name: umlaute
code_configuration: {{code: ., scoring_script: score.py}}
input: {{location: "{input}"}}
output: {{location: "{output}", partition_by: [stadt]}}
"""
PROGRAM = """
import sys
import sparkscore
with sparkscore.local_session() as spark:
    for mode in ("error", "append"):
        sparkscore.score(spark, sys.argv[1], mode=mode, run_id=f"run-{mode}", runs=sys.argv[2])
"""


def test_a_table_is_made_and_added_to_under_a_locale_without_umlauts(tmp_path: Path) -> None:
    folder = tmp_path / "übung"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "score.py").write_text(SCRIPT, encoding="utf-8")
    (folder / "ü.csv").write_text("stadt,größe\nKöln,1.5\nŁódź,2.5\n雪,3.5\n", encoding="utf-8")
    deployment, output = folder / "code" / "deployment.yml", folder / "tabelle ü"
    deployment.write_text(DEPLOYMENT.format(input=folder / "ü.csv", output=output), encoding="utf-8")

    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(deployment), str(folder / "läufe")],
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        timeout=200,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr.decode(errors="replace")
    rows = DeltaTable(output).to_pyarrow_table(columns=["stadt", "größe", "prediction"])
    assert rows.group_by(["stadt", "größe", "prediction"]).aggregate([([], "count_all")]).sort_by("größe") == pa.table(
        {
            "stadt": ["Köln", "Łódź", "雪"],
            "größe": [1.5, 2.5, 3.5],
            "prediction": [3.0, 5.0, 7.0],
            "count_all": pa.array([2, 2, 2]),
        }
    )
