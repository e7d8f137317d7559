"""sparkscore itself, with a session that stays."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import yaml

import sparkscore
from tests.bench.cases import Case
from tests.bench.registry import SIDES


def deployment_of(case: Case, name: str) -> dict[str, Any]:
    """Return the deployment of a case, by sections, with the settings of one of our sides."""
    deployment: dict[str, Any] = {"name": case.name, "input": {}, "output": {"format": case.output_format}}
    if script := Path(case.model) if case.items == "files" else case.script and Path(case.script):
        deployment["code_configuration"] = {"code": str(script.parent), "scoring_script": script.name}
    if case.items == "files":
        deployment["input"]["format"] = "files"
    else:
        deployment["model"] = _model_of(case)
        deployment["input"]["format"] = "parquet"
        deployment["output"]["carry"] = list(case.carry)
        if case.engine in {"pyfunc", "sklearn"}:
            deployment["trust"] = "code"
    for key, value in {**case.settings, **SIDES[name].settings}.items():
        _set(deployment, key.split("."), value)
    return deployment


def _model_of(case: Case) -> dict[str, Any]:
    if case.engine == "onnx":
        return {"path": case.model, "inputs": {"features": list(case.features)}}
    if case.engine == "xgboost":
        return {"path": case.model, "framework": "xgboost"}
    if case.script:
        return {"path": case.model}
    return {"path": case.flavors["pyfunc" if case.engine == "pyfunc" else "sklearn"]}


def _set(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
    if value is None:
        tree.pop(keys[-1], None)
    else:
        tree[keys[-1]] = value


def write_deployment(case: Case, name: str, folder: Path) -> Path:
    """Write the deployment file of one of our sides, and return its path."""
    path = folder / f"{case.name}-{name}.yml"
    path.write_text(yaml.safe_dump(deployment_of(case, name)))
    return path


def facts_of(record: dict[str, Any]) -> dict[str, Any]:
    """Return what the page says about a run from its record."""
    seconds = {f"{step}_s": value for step, value in record["seconds"].items() if isinstance(value, (int, float))}
    return {**seconds, "loads": record["model_loads"], "processes": record["worker_processes"]}


class Ours:
    """A session of Spark, and one run of sparkscore for each command."""

    def __init__(self, case: Case, name: str) -> None:
        self._folder = Path(os.environ["SPARKSCORE_BENCH_FOLDER"])
        self._deployment = write_deployment(case, name, self._folder)
        self._spark = sparkscore.local_session(conf=case.conf, log_file=self._folder / f"{case.name}-{name}-spark.log")
        self._numbers = itertools.count()

    def turn_to(self, case: Case, name: str) -> None:
        self._deployment = write_deployment(case, name, self._folder)

    def run(self, source: str, output: str) -> dict[str, Any]:
        run = sparkscore.score(
            self._spark, self._deployment, input=source, output=output, run_id=f"bench{next(self._numbers)}"
        )
        return facts_of(json.loads(json.dumps(run.record, default=str)))

    def stop(self) -> None:
        self._spark.stop()


def start(case: Case, name: str) -> Ours:
    return Ours(case, name)
