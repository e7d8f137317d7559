"""What every scorer does. A new implementation joins with one entry in `IMPLEMENTATIONS`."""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from onnx import TensorProto, helper

from sparkscore.digest import digest_of_path
from sparkscore.errors import SparkscoreError
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import describe_failure
from sparkscore.returned import tabulate
from sparkscore.scorers import Scorer, ScorerSpec, ScriptSpec, load_scorer
from sparkscore.scorers.failed import ScorerFailedError
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.scorers.specs import FrameworkSpec, MlflowSpec, OnnxSpec
from sparkscore.scripts.packing import pack_script
from sparkscore.signature.model_signature import Feed

# Imported before the suite looks at what a scorer leaves behind: libraries stay, a model's own modules go.
for library in ("encodings.cp437", "joblib", "mlflow.pyfunc", "onnxruntime", "sklearn"):
    import_module(library)
for kind in ("framework", "mlflow", "onnx"):
    import_module(f"sparkscore.scorers.{kind}")

DOUBLE_X = """
import pandas as pd

def run(mini_batch):
    if (mini_batch["x"] < 0).any():
        raise ValueError("x is negative")
    return pd.DataFrame({"y": mini_batch["x"] * 2})
"""
LOADER = f"""{DOUBLE_X}
class Doubling:
    def predict(self, frame):
        return run(frame)

def _load_pyfunc(path):
    return Doubling()
"""
MLMODEL = """
flavors: {python_function: {loader_module: own_loader, code: code}}
signature:
  inputs: '[{"type": "double", "name": "x", "required": true}]'
  outputs: '[{"type": "double", "name": "y", "required": true}]'
"""


@dataclass(frozen=True)
class Implementation:
    """How the suite makes a scorer: one that doubles column 'x' into 'y', and one that does not load.

    The first raises, in whatever way it likes, when an 'x' is negative.
    """

    doubling: Callable[[Path], ScorerSpec]
    broken: Callable[[Path], ScorerSpec]


def script(source: str) -> Callable[[Path], ScorerSpec]:
    def make(folder: Path) -> ScriptSpec:
        (folder / "code").mkdir()
        (folder / "work").mkdir()
        (folder / "code" / "score.py").write_text(source)
        return ScriptSpec(pack_script(folder / "code", "score.py").code, "score.py", work_folder=str(folder / "work"))

    return make


class Doubling:
    """An estimator of nobody's library."""

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        if (frame["x"] < 0).any():
            raise ValueError("x is negative")
        return pd.DataFrame({"y": frame["x"] * 2})


def doubling_graph() -> bytes:
    """Take a factor of 2 from a list of one: a negative x asks for the next one, which is not there."""
    nodes = [
        helper.make_node("Less", ["x", "zero"], ["is_negative"]),
        helper.make_node("Cast", ["is_negative"], ["place"], to=TensorProto.INT64),
        helper.make_node("Gather", ["factors", "place"], ["factor"]),
        helper.make_node("Mul", ["x", "factor"], ["y"]),
    ]
    constants = [
        helper.make_tensor("zero", TensorProto.DOUBLE, [], [0.0]),
        helper.make_tensor("factors", TensorProto.DOUBLE, [1], [2.0]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["rows"]) for name in "xy")
    graph = helper.make_graph(nodes, "double", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def stored(path: Path, content: bytes) -> ModelFiles:
    (path.parent / "work").mkdir(exist_ok=True)
    path.write_bytes(content)
    return ModelFiles("double", "1", str(path), digest_of_path(path))


def framework(content: bytes) -> Callable[[Path], ScorerSpec]:
    def make(folder: Path) -> FrameworkSpec:
        return FrameworkSpec(stored(folder / "model.pkl", content), "sklearn", (Feed("x", ("x",), pa.float64()),))

    return make


def onnx(content: bytes) -> Callable[[Path], ScorerSpec]:
    def make(folder: Path) -> OnnxSpec:
        feed = Feed("x", ("x",), pa.float64(), (-1,))
        return OnnxSpec(stored(folder / "model.onnx", content), "", (feed,), (("y", "y"),))

    return make


def mlflow_model(loader: str) -> Callable[[Path], ScorerSpec]:
    def make(folder: Path) -> MlflowSpec:
        model = folder / "model"
        (model / "code").mkdir(parents=True)
        (folder / "work").mkdir()
        (model / "MLmodel").write_text(MLMODEL)
        (model / "code" / "own_words.py").write_text("WORD = 1")
        (model / "code" / "own_loader.py").write_text(f"import own_words\n{loader}")
        files = ModelFiles("double", "1", str(model), digest_of_path(model))
        return MlflowSpec(files, (Feed("x", ("x",), pa.float64()),))

    return make


IMPLEMENTATIONS = {
    "script": Implementation(
        doubling=script(DOUBLE_X), broken=script("def init():\n    raise OSError\ndef run(b): ...")
    ),
    "framework": Implementation(doubling=framework(pickle.dumps(Doubling())), broken=framework(b"broken")),
    "mlflow": Implementation(doubling=mlflow_model(LOADER), broken=mlflow_model("raise OSError")),
    "onnx": Implementation(doubling=onnx(doubling_graph()), broken=onnx(b"broken")),
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the host's copies of models out of the user's own cache."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request: pytest.FixtureRequest) -> Implementation:
    return IMPLEMENTATIONS[request.param]


@pytest.fixture
def scorer(implementation: Implementation, tmp_path: Path) -> Iterator[Scorer]:
    scorer = load_scorer(implementation.doubling(tmp_path))
    yield scorer
    scorer.close()


def mini_batch(*values: float) -> MiniBatch:
    return MiniBatch("0", (), pa.table({"x": pa.array(values, pa.float64())}))


def process_state() -> tuple[object, ...]:
    variables = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return variables, Path.cwd(), list(sys.path), list(sys.argv)


def test_a_spec_survives_the_way_to_the_worker(implementation: Implementation, tmp_path: Path) -> None:
    spec = implementation.doubling(tmp_path)

    assert pickle.loads(pickle.dumps(spec)) == spec  # noqa: S301 - as Spark sends it


def test_scores_are_what_tabulate_accepts_in_the_order_of_the_rows(scorer: Scorer) -> None:
    result = tabulate(scorer.score(mini_batch(3, 1, 2)))

    assert result.table.to_pylist() == [{"y": 6.0}, {"y": 2.0}, {"y": 4.0}]


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_mini_batches_of_any_size_give_the_same_scores(count: int, scorer: Scorer) -> None:
    values = np.random.default_rng(count).uniform(0, 1, 1000)

    parts = [scorer.score(mini_batch(*values[start : start + count])) for start in range(0, 1000, count)]

    scores = np.concatenate([tabulate(part).table.column("y").to_numpy() for part in parts])
    np.testing.assert_array_equal(scores, values * 2)


def test_scoring_again_gives_the_same_and_leaves_the_rows_alone(scorer: Scorer) -> None:
    batch = mini_batch(1, 2)

    first, second = (tabulate(scorer.score(batch)).table for _ in range(2))

    assert first.equals(second)
    assert batch == mini_batch(1, 2)


def test_scoring_leaves_the_process_as_it_was(scorer: Scorer) -> None:
    before = process_state()

    scorer.score(mini_batch(1))

    assert process_state() == before


def test_a_failure_is_one_that_the_loop_knows_and_the_scorer_goes_on(scorer: Scorer) -> None:
    before = process_state()

    with pytest.raises((ScorerFailedError, SparkscoreError)) as caught:
        scorer.score(mini_batch(1, -1))

    failure = caught.value.failure if isinstance(caught.value, ScorerFailedError) else describe_failure(caught.value)
    assert failure.code
    assert failure.message
    assert process_state() == before
    assert tabulate(scorer.score(mini_batch(1))).table.to_pylist() == [{"y": 2.0}]


def test_a_scorer_that_does_not_load_says_so_and_leaves_nothing_behind(
    implementation: Implementation, tmp_path: Path
) -> None:
    before = process_state(), set(sys.modules)

    with pytest.raises((ScorerFailedError, SparkscoreError)):
        load_scorer(implementation.broken(tmp_path))

    assert (process_state(), set(sys.modules)) == before
    assert list((tmp_path / "work").iterdir()) == []


def test_closing_twice_is_harmless_and_leaves_nothing_behind(implementation: Implementation, tmp_path: Path) -> None:
    before = process_state()
    scorer = load_scorer(implementation.doubling(tmp_path))

    scorer.close()
    scorer.close()

    assert process_state() == before
    assert list((tmp_path / "work").iterdir()) == []


def test_two_scorers_do_not_disturb_each_other(implementation: Implementation, scorer: Scorer, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = load_scorer(implementation.doubling(tmp_path / "other"))
    other.close()

    frame = tabulate(scorer.score(mini_batch(4))).table.to_pandas()

    pd.testing.assert_frame_equal(frame, pd.DataFrame({"y": [8.0]}))
