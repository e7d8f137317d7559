"""The same deployment started in four ways gives the same rows, to the bit.

The ways: the command line, spark-submit to a cluster whose workers have neither the package nor the script nor the
model, a notebook with a classic session, and a notebook with a Spark Connect session.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import nbformat
import pyarrow as pa
import pytest
import yaml
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

import sparkscore
from sparkscore.spark.prerequisites import delta_coordinate
from tests.support.all_types import NAMES, comparable, write_all_types, written_rows
from tests.support.cluster import standalone_cluster
from tests.support.connect_server import connect_server
from tests.support.ledger import check_ledger, read_table

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client", "ignore::DeprecationWarning:zmq"),
]
PROGRAM: Final = Path(sys.executable).with_name("sparkscore")
SPARK_SUBMIT: Final = Path(sys.executable).with_name("spark-submit")
JOB: Final = Path(__file__).parents[2] / "jobs" / "score.py"
PACKAGE: Final = Path(sparkscore.__file__).parent
# The session's zone must not matter, so all sessions have one in which an hour comes twice.
ZONE: Final = "spark.sql.session.timeZone=America/New_York"
FORMATS: Final = ("delta", "parquet")
SCRIPT: Final = """
import json
import os

import pandas as pd

def init():
    global weight
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model", "weight.json")) as file:
        weight = json.load(file)["weight"]

def run(frame):
    if (frame["text"] == "NULL").any():
        raise ValueError("this row is refused")
    names = ["big", "double", "text", "raw", "yes", "on", "at", "local", "exact"]
    again = {f"{name}_again": frame[name] for name in names}
    return pd.DataFrame({"weighted": frame["double"] * weight, "day_again": frame["day"], **again})
"""
CELLS: Final = (
    """
import os
import sparkscore
from pyspark.sql import SparkSession

zone = os.environ["ZONE"].split("=")
if url := os.environ.get("CONNECT_URL"):
    spark = SparkSession.builder.remote(url).config(*zone).getOrCreate()
else:
    spark = sparkscore.local_session(master="local[2]", conf=dict([zone]), log_file="spark.log")
""",
    """
for each in os.environ["FORMATS"].split():
    run = sparkscore.score(spark, "heart/deployment.yml", input=os.environ["INPUT"],
                           output=f"{os.environ['OUTPUT']}/{each}", output_format=each, run_id=each)
    print(each, run.record["state"], run.predictions().count(), run.quarantine().count())
""",
    "spark.stop()",
)


@dataclass(frozen=True)
class Places:
    """Where a test finds its folders.

    Attributes:
        driver: what only the driver sees: the deployment, its script, its model, and the runs folder.
        shared: what the driver and all workers see: inputs and outputs.
        way: the name of the way in the names of folders.
    """

    driver: Path
    shared: Path
    way: str = ""

    @property
    def output(self) -> Path:
        """The folder of this way's outputs, one for each format."""
        return self.shared / self.way

    @property
    def runs(self) -> Path:
        """This way's runs folder."""
        return self.driver / f"runs-{self.way}"

    def logs(self) -> Path:
        """Return a new folder for the logs of a cluster or server."""
        folder = self.driver.parent / f"logs-{self.way}"
        folder.mkdir()
        return folder


class _ThisPythonsKernelManager(AsyncKernelManager):
    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python"
        )


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    folder = tmp_path_factory.mktemp("ways")
    driver, shared = folder / "driver", folder / "shared"
    (driver / "heart" / "code").mkdir(parents=True)
    (driver / "heart" / "model").mkdir()
    (driver / "heart" / "code" / "score.py").write_text(SCRIPT)
    (driver / "heart" / "model" / "weight.json").write_text(json.dumps({"weight": 0.1}))
    content = {
        "name": "heart",
        "model": {"path": "model", "version": "3"},
        "code_configuration": {"code": "code", "scoring_script": "score.py"},
        "input": {"dtypes": "arrow"},
        "output": {"carry": [*NAMES, "day"]},
        "settings": {"mini_batch_size": 3, "error_threshold": -1},
    }
    (driver / "heart" / "deployment.yml").write_text(yaml.safe_dump(content))
    write_all_types(shared / "in")
    return Places(driver, shared)


def by_command_line(places: Places) -> None:
    for kind in FORMATS:
        run_command(places, PROGRAM, "run", *options_of(places, kind), "--spark-conf", ZONE)


def by_spark_submit(places: Places) -> None:
    with standalone_cluster(places.logs(), hidden=(places.driver, PACKAGE)) as master:
        for kind in FORMATS:
            submit = (SPARK_SUBMIT, "--master", master, "--conf", ZONE, "--packages", delta_coordinate(), JOB)
            run_command(places, *submit, *options_of(places, kind))


def in_a_notebook(places: Places) -> None:
    run_notebook(places, {})


def in_a_notebook_on_connect(places: Places) -> None:
    with connect_server(places.logs()) as server:
        run_notebook(places, {"CONNECT_URL": server.url})


def options_of(places: Places, kind: str) -> list[object]:
    options = ["--input", places.shared / "in", "--output", places.output / kind, "--runs", places.runs]
    return ["heart/deployment.yml", *options, "--run-id", kind, "--set", f"output.format={kind}"]


def run_command(places: Places, *command: object) -> None:
    ended = subprocess.run(
        [str(part) for part in command],
        cwd=places.driver,
        env=os.environ | {"PYSPARK_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-4000:]


def run_notebook(places: Places, environment: dict[str, str]) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]  # type: ignore[no-untyped-call]
    notebook = nbformat.v4.new_notebook(cells=cells)  # type: ignore[no-untyped-call]
    folders = {"INPUT": places.shared / "in", "OUTPUT": places.output, "SPARKSCORE_RUNS": places.runs}
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {**folders, "ZONE": ZONE, "FORMATS": " ".join(FORMATS), **environment}.items():
            patched.setenv(name, str(value))
        NotebookClient(
            notebook,
            timeout=300,
            kernel_manager_class=_ThisPythonsKernelManager,
            resources={"metadata": {"path": str(places.driver)}},
        ).execute()
    printed = "".join(str(each.get("text", "")) for cell in notebook.cells for each in cell.get("outputs", []))
    for kind in FORMATS:
        assert f"{kind} COMPLETE 12 4" in printed


WAYS: Final[dict[str, Callable[[Places], None]]] = {
    "command line": by_command_line,
    "spark-submit to bare workers": by_spark_submit,
    "notebook": in_a_notebook,
    "notebook on Connect": in_a_notebook_on_connect,
}


@pytest.fixture(scope="module", params=WAYS)
def scored(request: pytest.FixtureRequest, places: Places) -> Places:
    """Score in one of the ways, and return where its outputs and records are."""
    of_this_way = replace(places, way=str(request.param).replace(" ", "-"))
    WAYS[request.param](of_this_way)
    return of_this_way


@pytest.mark.parametrize("kind", FORMATS)
def test_each_way_gives_the_values_that_were_written(scored: Places, kind: str) -> None:
    rows = {row["id"]: comparable(row) for row in read_table(scored.output / kind).to_pylist()}
    expected = {key: row for key, row in written_rows().items() if row["text"] != "NULL"}

    assert {key: {name: row[name] for name in (*NAMES[1:], "day")} for key, row in rows.items()} == expected
    for row in rows.values():
        again = [name for name in row if name.endswith("_again")]
        assert {name: row[name] for name in again} == {name: row[name.removesuffix("_again")] for name in again}
        assert row["weighted"] == weighted(row["double"])


@pytest.mark.parametrize("kind", FORMATS)
def test_each_way_gives_the_same_types(scored: Places, kind: str) -> None:
    schema = read_table(scored.output / kind).schema

    expected = {
        "id": pa.int64(),
        "at": pa.timestamp("us", "UTC"),
        "local": pa.timestamp("us"),
        "local_again": pa.timestamp("us"),
        "day": pa.string(),
        "weighted": pa.float64(),
    }
    assert {name: schema.field(name).type for name in expected} == expected


@pytest.mark.parametrize("kind", FORMATS)
def test_each_way_records_every_row(scored: Places, kind: str) -> None:
    record = json.loads((scored.runs / kind / "record.json").read_text())

    check_ledger(record, scored.runs, written_rows())
    assert (record["counts"]["failed"], record["error"]) == (4, None)


def weighted(double: str | None) -> str | None:
    """Return what the script's model makes of a number, both in the form of `comparable`."""
    if double is None:
        return None
    return str(comparable({"value": float.fromhex(double.removeprefix("float ")) * 0.1})["value"])
