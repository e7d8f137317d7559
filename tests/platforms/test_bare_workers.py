"""Workers on whose disks there is nothing: neither sparkscore, nor the script, nor the model.

They see the input and the output, and have the packages that sparkscore needs. Each result is compared with that of a
run on this machine.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from onnx import TensorProto, helper
from PIL import Image
from sklearn.linear_model import Ridge

import sparkscore
from tests.support import drive_all
from tests.support.cluster import standalone_cluster
from tests.support.images import save_sum_of_pixels

pytestmark = pytest.mark.timeout(900)
Here = Callable[[str], list[dict[str, Any]]]
CONF: Final = {"spark.executor.memory": "600m", "spark.ui.enabled": "false"}
ROWS: Final = 2_000
SCRIPT: Final = """
    import json, os
    from pathlib import Path

    def init():
        global factor
        folder = Path(os.environ["AZUREML_MODEL_DIR"], "weights")
        factor = json.loads((folder / "deep" / "factor.json").read_text())

    def run(rows):
        return [factor * each for each in rows["x"]]
"""
WEIGHTS: Final = {"model": {"path": "weights", "name": "w", "version": 1}}
SMALL: Final = {"mini_batch_size": 25, "chunk_size": 50}
OF_TEXT: Final = """
    def run(files):
        return [(file.rsplit("/", 1)[-1], len(open(file).read())) for file in files]
"""
# The interpreter and the version of sparkscore that run the script.
OF_PYTHON: Final = """
    import sys

    def run(rows):
        return [f"{sys.executable} {'sparkscore' in sys.modules}"] * len(rows)
"""
WITH_DATA: Final = """
    from pathlib import Path
    data = Path(__file__).with_name("big.bin").read_bytes()

    def run(rows):
        return [int(each) + data[0] + len(data) for each in rows["x"]]
"""
OF_TABLE_ROWS: Final = """
    def run(rows):
        return [len(each) for each in rows["text"]]
"""


@dataclass
class Bare:
    """What the driver has, in a folder that the workers do not see, and what they share with it."""

    folder: Path
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def own(self) -> Path:
        return self.folder / "driver"

    @property
    def shared(self) -> Path:
        return self.folder / "shared"

    def add(self, name: str, deployment: dict[str, Any], source: str, script: str = "", **options: Any) -> Path:
        """Write a deployment of the driver's, and note the request to score an input of the shared folder with it."""
        folder = self.own / name
        (folder / "code").mkdir(parents=True)
        if script:
            (folder / "code" / "score.py").write_text(textwrap.dedent(script))
            deployment = {**deployment, "code_configuration": {"code": "code", "scoring_script": "score.py"}}
        (folder / "deployment.yml").write_text(yaml.safe_dump(deployment, sort_keys=False))
        self.requests[name] = {
            "deployment": str(folder / "deployment.yml"), "input": str(self.shared / source),
            "output_format": "parquet", "settings": {"mini_batch_size": 300}, **options,
        }  # fmt: skip
        return folder

    def start(
        self, master: str, where: str, asked: Sequence[str | tuple[str, dict[str, Any]]]
    ) -> subprocess.Popen[str]:
        """Start a driver that scores requests one after the other. A request may have more options."""
        named = [(each, {}) if isinstance(each, str) else each for each in asked]
        places = [
            {"output": str(self.shared / where / name), "runs": str(self.own / "runs" / where)} for name, _ in named
        ]
        requests = [{**self.requests[name], **place, **more} for (name, more), place in zip(named, places, strict=True)]
        file = self.own / f"{where}.json"
        file.write_text(json.dumps({"master": master, "conf": CONF, "requests": requests}))
        environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "TMPDIR": str(self.own / "tmp")}
        return subprocess.Popen(
            [sys.executable, str(Path(drive_all.__file__)), str(file)], env=environment, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def drive(self, master: str, where: str, asked: Sequence[str | tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        """Score requests one after the other in one new driver, and return their records or errors."""
        out, err = self.start(master, where, asked).communicate(timeout=800)
        records = [json.loads(line) for line in out.splitlines()]
        assert len(records) == len(asked), err[-3000:]
        return records

    def result(self, where: str, name: str) -> list[dict[str, Any]]:
        """Return the rows of a result, without what differs from run to run, in the order of their columns' texts."""
        table = pq.read_table(self.shared / where / name)
        rows = table.drop_columns(["run_id", "scored_at"]).to_pylist()
        return sorted(rows, key=lambda row: str(sorted(row.items())))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Bare:
    made = Bare(tmp_path_factory.mktemp("bare"))
    for folder in (
        made.own / "tmp",
        made.own / "runs",
        made.shared / "rows",
        made.shared / "texts",
        made.shared / "images",
    ):
        folder.mkdir(parents=True)
    x = np.arange(ROWS, dtype=np.float64) / 7
    table = pa.table({"key": np.arange(ROWS) + 2**60, "x": x, "text": ["é" * 3_000] * ROWS})
    for part in range(4):
        pq.write_table(table.slice(part * ROWS // 4, ROWS // 4), made.shared / "rows" / f"{part}.parquet")
    for number in range(40):
        (made.shared / "texts" / f"{number}.txt").write_text("x" * number)
        Image.new("RGB", (6, 4), (number, 0, 9)).save(made.shared / "images" / f"{number}.png")
    _add_scripts(made)
    _add_models(made)
    return made


def _add_scripts(bare: Bare) -> None:
    _write_factor(bare.add("script", WEIGHTS, "rows", SCRIPT), 2.5)
    bare.add("texts", {}, "texts", OF_TEXT, input_format="files", settings={"mini_batch_size": 3})
    bare.add("python path", {"python": {"path": sys.executable}}, "rows", OF_PYTHON)
    folder = bare.add("python archive", {**WEIGHTS, "python": {"archive": "env.tar.gz"}}, "rows", SCRIPT)
    _write_factor(folder, -1.5)
    _write_environment(folder / "env.tar.gz")
    folder = bare.add("large code", {}, "rows", WITH_DATA)
    (folder / "code" / "big.bin").write_bytes(os.urandom(20_000_000))
    bare.add("large rows", {}, "rows", OF_TABLE_ROWS, settings={"mini_batch_size": 1_800})


def _write_factor(folder: Path, factor: float) -> None:
    (folder / "weights" / "deep").mkdir(parents=True)
    (folder / "weights" / "deep" / "factor.json").write_text(str(factor))


def _write_environment(archive: Path) -> None:
    """Write a packed environment that takes its packages from this one."""
    home = archive.with_name("env")
    packages = home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    packages.mkdir(parents=True)
    (home / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (packages / "these.pth").write_text(str(Path(pa.__file__).parents[1]) + "\n")
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(home, arcname=".")


def _add_models(bare: Bare) -> None:
    folder = bare.add("onnx", {"model": {"path": "half.onnx", "name": "half", "version": 1}}, "rows")
    nodes = [helper.make_node("Mul", ["x", "c"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["n"]) for name in "xy")
    half = helper.make_tensor("c", TensorProto.DOUBLE, [1], [0.5])
    graph = helper.make_graph(nodes, "half", [x], [y], [half])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (folder / "half.onnx").write_bytes(model.SerializeToString())
    folder = bare.add(
        "images", {"model": {"path": "sum.onnx", "name": "sum", "version": 1}}, "images", input_format="files"
    )
    save_sum_of_pixels(folder / "sum.onnx")
    folder = bare.add("mlflow", {"model": {"path": "ridge", "name": "ridge", "version": 1}, "trust": "code"}, "rows")
    x_of = pd.DataFrame({"x": np.arange(50, dtype=np.float64)})
    fitted = Ridge().fit(x_of, x_of["x"] * 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = mlflow.models.infer_signature(x_of, fitted.predict(x_of))
        mlflow.sklearn.save_model(fitted, folder / "ridge", signature=signature, pip_requirements=["scikit-learn"])


@pytest.fixture(scope="module")
def cluster(bare: Bare) -> Iterator[str]:
    logs = bare.folder / "cluster"
    logs.mkdir()
    hidden = [bare.own, Path(sparkscore.__file__).parent]
    with standalone_cluster(logs, hidden=hidden) as url:
        yield url


@pytest.fixture(scope="module")
def here(bare: Bare) -> Callable[[str], list[dict[str, Any]]]:
    """Score everything on this machine, and return a function that returns the rows of a result."""
    names = list(bare.requests)
    records = bare.drive("local[2]", "here", names)
    assert {name: record["state"] for name, record in zip(names, records, strict=True)} == dict.fromkeys(
        names, "COMPLETE"
    )
    return lambda name: bare.result("here", name)


def test_all_kinds_of_scorers_give_the_result_of_this_machine(bare: Bare, cluster: str, here: Here) -> None:
    names = list(bare.requests)

    records = bare.drive(cluster, "there", names)

    states = {name: record["state"] for name, record in zip(names, records, strict=True)}
    assert states == dict.fromkeys(names, "COMPLETE")
    for name in names:
        assert bare.result("there", name) == here(name), name


def test_a_second_run_in_the_session_sends_nothing_twice(bare: Bare, cluster: str) -> None:
    append = {"mode": "append"}

    records = bare.drive(cluster, "again", ["script", "onnx", ("script", append), ("onnx", append)])

    assert [record["state"] for record in records] == ["COMPLETE"] * 4
    rows = bare.result("again", "script")
    assert len(rows) == 2 * ROWS
    assert rows[::2] == rows[1::2]


def test_the_next_driver_resumes_what_a_killed_one_has_begun(bare: Bare, cluster: str, here: Here) -> None:
    slow = SCRIPT.replace("        return [", "        import time; time.sleep(0.3)\n        return [")
    folder = bare.add("slow", WEIGHTS, "rows", slow, settings=SMALL, run_id="night")
    _write_factor(folder, 2.5)
    done = bare.shared / "resumed" / "slow" / "_sparkscore" / "night" / "done"
    driver = bare.start(cluster, "resumed", ["slow"])
    end = time.monotonic() + 300
    while not done.is_dir() or len(list(done.glob("[0-9]*"))) < 3:
        assert driver.poll() is None, driver.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.02)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    kept = len(list(done.glob("[0-9]*")))

    (record,) = bare.drive(cluster, "resumed", ["slow"])

    assert record["state"] == "COMPLETE"
    assert kept < ROWS / 50, "there was nothing left to resume"
    assert bare.result("resumed", "slow") == here("script")


def test_a_cluster_of_processes_on_one_host_gives_the_same(bare: Bare, here: Here) -> None:
    names = ["script", "onnx", "texts", "python path", "large code"]

    records = bare.drive("local-cluster[2,1,1024]", "processes", names)

    assert [record["state"] for record in records] == ["COMPLETE"] * len(names)
    for name in names:
        assert bare.result("processes", name) == here(name), name
