"""The limit and the processes of sides, from end to end with few rows; it is what the other sides are compared with."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from sparkscore.config import load_deployment
from tests.bench.cases import FEATURES, Case, Layout
from tests.bench.inputs import make_input
from tests.bench.process import Engines, SideError, SideProcess
from tests.bench.side import said_by, serve
from tests.bench.sides.ours import write_deployment
from tests.bench.trees import onnx_of_booster
from tests.bench.verify import read_result


def case_of(tmp_path: Path, **changed: Any) -> Case:
    source = str(make_input(tmp_path / "cache", "narrow", 400))
    return Case("case", "rows", source, source, "pyfunc", "none", **changed)


@pytest.mark.parametrize("layout", ["narrow", "mixed", "skewed", "images", "bytes", "tiny"])
def test_an_input_is_the_same_each_time_and_made_once(tmp_path: Path, layout: Any) -> None:
    first, second = (make_input(tmp_path / name, layout, 60) for name in ("a", "b"))
    contents = [[path.read_bytes() for path in sorted(folder.iterdir())] for folder in (first, second)]
    written = first.stat().st_mtime_ns

    assert contents[0] == contents[1]
    assert make_input(tmp_path / "a", layout, 60) == first
    assert first.stat().st_mtime_ns == written


def test_an_input_has_each_id_once_in_as_many_files(tmp_path: Path) -> None:
    made = make_input(tmp_path, "narrow", 1_000, files=64)

    assert len(list(made.iterdir())) == 64
    assert sorted(pq.read_table(made).column("id").to_pylist()) == list(range(1_000))


def test_one_file_of_the_skewed_input_has_most_rows(tmp_path: Path) -> None:
    rows = sorted(pq.read_metadata(path).num_rows for path in make_input(tmp_path, "skewed", 6_000).iterdir())

    assert len(rows) == 100
    assert rows[-1] > 5 * sum(rows[:-1])


@pytest.mark.parametrize("output_format", ["parquet", "delta"])
def test_the_limit_scores_every_row_in_processes_of_its_own(tmp_path: Path, output_format: Any) -> None:
    case = case_of(tmp_path, output_format=output_format)
    process = SideProcess("limit", case, tmp_path / "limit")
    try:
        process.wait_until_ready()
        answer = process.run(case.source, tmp_path / "out")
        with pytest.raises(SideError, match="FileNotFoundError"):
            process.run(str(tmp_path / "nowhere"), tmp_path / "nowhere" / "out")
    finally:
        process.stop()
    table = pq.read_table(case.source).sort_by("id")
    sums = np.stack([table.column(name).to_numpy() for name in FEATURES], axis=1).sum(axis=1, dtype=np.float64)
    result = read_result(tmp_path / "out", output_format, ["id", "prediction"])

    assert answer["seconds"] > 0
    assert result.column("id").to_pylist() == list(range(400))
    assert np.array_equal(result.column("prediction").to_numpy(), sums)
    assert len(list((tmp_path / "limit" / "loads").iterdir())) > 0


def test_a_side_that_does_not_answer_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = case_of(tmp_path)
    process = SideProcess("limit", case, tmp_path / "limit")
    try:
        process.wait_until_ready()
        monkeypatch.setattr("tests.bench.process.RUN_S", 0)
        with pytest.raises(SideError, match="no answer in 0 s"):
            process.run(case.source, tmp_path / "out")

        assert not process.is_alive
    finally:
        process.stop()


def test_a_case_survives_the_way_to_another_process(tmp_path: Path) -> None:
    case = case_of(tmp_path, flavors={"onnx": "folder"}, carry=("id", "c00"), settings={"chunk_size": 5})

    assert Case.from_json(case.to_json()) == case


def test_sides_of_an_engine_share_a_process_that_stays_for_other_workloads(tmp_path: Path) -> None:
    engines, sides = Engines(tmp_path / "engines"), ["limit", "limit-lineage"]
    layouts: dict[Layout, tuple[str, ...]] = {"narrow": ("id",), "mixed": ("id", "c04")}
    written, pids = {}, set()
    try:
        for layout, carry in layouts.items():
            source = str(make_input(tmp_path / "cache", layout, 100))
            case = Case(layout, "rows", source, source, "pyfunc", "none", carry=carry)
            with engines.running(sides, case, tmp_path / layout) as (processes, errors):
                for name, process in processes.items():
                    process.run(source, tmp_path / layout / name / "out" / "0")
                    found = pq.read_table(tmp_path / layout / name / "out" / "0")
                    written[layout, name] = (
                        found.num_rows,
                        [column for column in found.column_names if column[0] in "cs"],
                    )
                    pids.add(process.pid)
            assert errors == {}
    finally:
        engines.stop()

    assert written == {
        ("narrow", "limit"): (100, []),
        ("narrow", "limit-lineage"): (100, ["scored_at", "source_file"]),
        ("mixed", "limit"): (100, ["c04"]),
        ("mixed", "limit-lineage"): (100, ["c04", "scored_at", "source_file"]),
    }
    assert len(pids) == 1


def test_an_error_of_a_side_is_an_answer_and_it_goes_on() -> None:
    class Fails:
        case = ""

        def turn_to(self, case: Case, name: str) -> None:
            self.case = f"{case.name} of {name}"

        def run(self, source: str, output: str) -> dict[str, Any]:
            if source == "bad":
                raise ValueError("no such thing\nand more")
            return {"output": output, "case": self.case}

        def stop(self) -> None:
            """Nothing to end."""

    case = Case("new", "rows", "in", "in", "onnx", "model")
    runs = [{"source": source, "output": "o"} for source in ("bad", "good")]
    commands = [runs[0], {"turn_to": "ours", "case": case.to_json()}, runs[1]]
    answers = io.StringIO()
    serve(Fails(), io.StringIO("".join(json.dumps(each) + "\n" for each in commands)), answers)
    ready, failed, turned, done = map(json.loads, answers.getvalue().splitlines())

    assert ready == {"ready": True}
    assert failed == {"error": "ValueError: no such thing"}
    assert turned["facts"] == {}
    assert done["facts"] == {"output": "o", "case": "new of ours"}


def test_the_cause_below_a_trace_of_spark_is_what_is_said() -> None:
    error = RuntimeError("An exception was thrown:\nTraceback\n  raise\nValueError: too wide\n\n  at org.apache")

    assert said_by(error) == "ValueError: too wide"


@pytest.mark.parametrize(
    "name", ["ours", "ours-spark-reader", "ours-all-columns", "ours-none", "ours-process", "ours-tolerating"]
)
@pytest.mark.parametrize("engine", ["onnx", "xgboost", "sklearn"])
def test_the_deployments_of_our_sides_are_valid(tmp_path: Path, name: str, engine: Any) -> None:
    case = Case("case", "rows", "in", "in", engine, "model.bin", {"sklearn": "model"})

    deployment = load_deployment(write_deployment(case, name, tmp_path))

    assert deployment.output.carry == (None if name == "ours-all-columns" else ("id",))


def test_the_onnx_form_of_a_booster_has_its_splits_and_its_values() -> None:
    import onnxruntime
    import xgboost

    random = np.random.default_rng(3)
    rows = random.standard_normal((500, 5), dtype=np.float32)
    rows[random.random(rows.shape) < 0.1] = np.nan
    model = xgboost.XGBRegressor(n_estimators=7, max_depth=4).fit(rows, np.nansum(rows, axis=1))
    graph = onnx_of_booster(json.loads(bytes(model.get_booster().save_raw("json"))), 5)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])

    assert np.allclose(session.run(None, {"features": rows})[0], model.predict(rows), atol=1e-5)
