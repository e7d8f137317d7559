"""Set up a campaign: its input, its deployment, and the folder that its drivers use."""

from __future__ import annotations

import json
import os
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from onnx import TensorProto, helper, numpy_helper

from sparkscore.record.runs_folder import RunFolder

RUN_ID: Final = "storm"
ROWS_OF_A_CALL: Final = 25
MINI_BATCHES_OF_A_CHUNK: Final = 4
MINI_BATCHES_PER_POISON: Final = 60
_CALL_S: Final = 0.03
_INPUT_FILES: Final = 10
_WIDTH, _LAYERS = 512, 150
# A JVM that lives for seconds: its second compiler and a parallel collector never pay.
_JAVA_OPTIONS: Final = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData"
_ROOT: Final = Path(__file__).parents[2]

# Each call says first how many items it has, in a file of its own: so work counts even where whoever does it dies.
_SCRIPT: Final = """
import time, uuid
from pathlib import Path

POISON = {poison!r}

def keys_of(items):
    return [int(key) for key in (items["id"] if hasattr(items, "columns") else [Path(item).stem for item in items])]

def run(items):
    keys = keys_of(items)
    if POISON.intersection(keys):
        raise ValueError("poison")
    (Path({calls!r}) / f"{{uuid.uuid4().hex}}-{{len(keys)}}").touch()
    time.sleep({seconds})
    return [2 * key for key in keys]
"""


@dataclass(frozen=True)
class SparkHome:
    """The folder of a Spark installation, and the settings that it needs."""

    path: Path
    conf: Mapping[str, str]


@dataclass(frozen=True)
class Kind:
    """The input, the scorer and the output format of a campaign."""

    items: Literal["files", "rows"]
    scorer: Literal["script", "onnx"]
    output_format: Literal["delta", "parquet"]

    def __str__(self) -> str:
        return f"{self.scorer}, {self.items}, {self.output_format}"


class Rig:
    """The folder of a campaign, with its input, deployment and outputs.

    Attributes:
        keys: the keys of the input's items, each once.
        poison: the numbers of the items that always fail.
        calls: the folder in which the script writes one file for each call.
        scratch: folders for temporary files of JVMs.
    """

    def __init__(self, folder: Path, kind: Kind, mini_batches: int, spark: SparkHome) -> None:
        self.folder, self.kind, self.mini_batches = folder, kind, mini_batches
        self.calls, self.runs, self.input, self.output = (folder / name for name in ("calls", "runs", "in", "out"))
        self.scratch = folder / "tmp", folder / "local"
        for made in (self.calls, self.input, *self.scratch):
            made.mkdir(parents=True)
        self.size = 1 if kind.items == "files" else ROWS_OF_A_CALL
        items = mini_batches * self.size
        step = MINI_BATCHES_PER_POISON * self.size
        self.poison = set(range(step // 2, items, step))
        self.keys: list[object] = [*self._write_files(items)] if kind.items == "files" else [*self._write_rows(items)]
        deployment = self._write_deployment()
        options = {
            "deployment": str(deployment), "input": str(self.input), "output": str(self.output), "run_id": RUN_ID,
            "input_format": "files" if kind.items == "files" else "parquet", "runs": str(self.runs),
        }  # fmt: skip
        self.options = folder / "options.json"
        self.options.write_text(json.dumps({"conf": spark.conf, "run": options}))
        self.record = RunFolder(self.runs, RUN_ID)
        self.stage = self.output / "_sparkscore" / RUN_ID
        self.quarantine = self.output.with_name(f"{self.output.name}_quarantine")
        self.spark_home = spark.path

    @property
    def key(self) -> str | None:
        """The name of the key column, or None if the items are files."""
        return None if self.kind.items == "files" else "id"

    def number_of(self, key: object) -> int:
        """Return the number of an item; its prediction depends on it."""
        return int(Path(str(key).removeprefix("file:")).stem)

    def done(self) -> float:
        """Return the share of chunks that are done."""
        done = sum(1 for _ in (self.stage / "done").glob("[0-9]*"))
        return done / self._chunks if done else 0.0

    @cached_property
    def _chunks(self) -> int:
        """Return the number of chunks of the run, as the plan of its files or of its rows says it.

        If Spark reads the rows, there is no plan, and the number is an estimate.
        """
        if (self.stage / "plan.parquet").exists():
            rows = pq.read_table(self.stage / "plan.parquet", columns=["unit", "mini_batch"]).to_pylist()
            units = Counter(unit for unit, _ in {(row["unit"], row["mini_batch"]) for row in rows})
        elif (self.stage / "parts.parquet").exists():
            units = Counter()
            for part in pq.read_table(self.stage / "parts.parquet").to_pylist():
                units[part["unit"]] += -(-part["row_count"] // self.size)
        else:
            units = Counter({0: self.mini_batches})
        return sum(-(-count // MINI_BATCHES_OF_A_CHUNK) for count in units.values())

    def items_given(self) -> int:
        """Return the number of items in all calls of the script."""
        return sum(int(path.name.partition("-")[2]) for path in self.calls.iterdir())

    def environment(self, mark: dict[str, str]) -> dict[str, str]:
        """Return a driver's environment: loopback addresses, and a temporary folder of the campaign."""
        temporary = self.folder / "tmp"
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        return os.environ | mark | {
            "JDK_JAVA_OPTIONS": f"{_JAVA_OPTIONS} -Djava.io.tmpdir={temporary}",
            "PYTHONPATH": os.pathsep.join(paths),
            "SPARK_HOME": str(self.spark_home),
            "SPARK_LOCAL_DIRS": str(self.folder / "local"),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARKSCORE_RUNS": str(self.runs),
            "TMPDIR": str(temporary),
        }  # fmt: skip

    def _write_files(self, items: int) -> Iterator[str]:
        for number in range(items):
            path = self.input / f"{number:05}.txt"
            path.write_text("x")
            yield str(path)

    def _write_rows(self, items: int) -> range:
        keys = range(items)
        for number, part in enumerate(np.array_split(np.array(keys), _INPUT_FILES)):
            bad = [7 if key in self.poison else 0 for key in part]
            pq.write_table(pa.table({"id": part, "bad": bad}), self.input / f"{number}.parquet")
        return keys

    def _write_deployment(self) -> Path:
        content: dict[str, Any] = {
            "name": "storm",
            "chunk_size": MINI_BATCHES_OF_A_CHUNK * self.size,
            "output": {"format": self.kind.output_format},
            "settings": {
                "mini_batch_size": self.size, "error_threshold": -1, "retry_settings": {"max_retries": 3}
            },
        }  # fmt: skip
        if self.kind.scorer == "onnx":
            (self.folder / "model.onnx").write_bytes(_graph())
            content["model"] = "model.onnx"
        else:
            (self.folder / "code").mkdir()
            script = _SCRIPT.format(poison=self.poison, calls=str(self.calls), seconds=_CALL_S)
            (self.folder / "code" / "score.py").write_text(textwrap.dedent(script))
            content["code_configuration"] = {"code": "code", "scoring_script": "score.py"}
        deployment = self.folder / "deployment.yml"
        deployment.write_text(yaml.safe_dump(content))
        return deployment


def _graph() -> bytes:
    """Return an ONNX graph that doubles the id, is slow, and fails for a row whose column 'bad' is no valid index."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", 1]) for name in ("id", "bad")]
    output = helper.make_tensor_value_info("prediction", TensorProto.FLOAT, ["n", 1])
    constants = [
        numpy_helper.from_array(np.full((1, _WIDTH), 1e-6, "f"), "wide"),
        numpy_helper.from_array(np.eye(_WIDTH, dtype="f"), "same"),
        numpy_helper.from_array(np.full((_WIDTH, 1), 0, "f"), "narrow"),
        numpy_helper.from_array(np.zeros(1, "f"), "only_index_0"),
    ]
    nodes = [helper.make_node("Cast", ["id"], ["x"], to=TensorProto.FLOAT)]
    nodes += [helper.make_node("MatMul", ["x", "wide"], ["layer0"])]
    nodes += [helper.make_node("MatMul", [f"layer{n}", "same"], [f"layer{n + 1}"]) for n in range(_LAYERS)]
    nodes += [
        helper.make_node("MatMul", [f"layer{_LAYERS}", "narrow"], ["zero"]),
        helper.make_node("Gather", ["only_index_0", "bad"], ["checked"]),
        helper.make_node("Sum", ["x", "x", "zero", "checked"], ["prediction"]),
    ]
    graph = helper.make_graph(nodes, "storm", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content
