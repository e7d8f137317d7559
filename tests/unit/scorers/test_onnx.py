from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from PIL import Image
from skl2onnx import to_onnx
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import OneHotEncoder

from sparkscore.digest import digest_of_path
from sparkscore.errors import ConfigError, MissingDependencyError, ModelError, OutputContractError
from sparkscore.minibatch import MiniBatch
from sparkscore.models.onnx_model import describe_onnx, graph_file, graph_outputs
from sparkscore.models.resolve import ResolvedModel
from sparkscore.outcome import Failure
from sparkscore.returned import NamedColumns, tabulate
from sparkscore.scorers import load_scorer
from sparkscore.scorers.failed import PartlyScored, ScorerFailedError
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.scorers.onnx import OnnxScorer, _make_options, check_session
from sparkscore.scorers.specs import OnnxSpec
from sparkscore.signature.model_signature import Feed, TensorInput

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
RANDOM = np.random.default_rng(11)
FEATURES = RANDOM.normal(size=(200, 4)).astype(np.float32)
TINIEST, LARGEST = np.float32(1e-45), np.finfo(np.float32).max
EXTREMES = [np.nan, np.inf, -np.inf, -0.0, 0.0, TINIEST, -TINIEST, 1e-39, LARGEST, -LARGEST, 1.0, np.float32(0.1)]
NAMES = ("a", "b", "c", "d")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the host's copies of models out of the user's own cache."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("cache")))


def value(name: str, shape: Sequence[str | int | None] | None, element: int = FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, element, shape)


def graph(
    nodes: Sequence[NodeProto], inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto], **more: Any
) -> ModelProto:
    found = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), **more)
    return helper.make_model(found, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def identity(shape: Sequence[str | int | None], element: int = FLOAT) -> ModelProto:
    node = helper.make_node("Identity", ["x"], ["y"])
    return graph([node], [value("x", shape, element)], [value("y", shape, element)])


def feed_of(tensor: TensorInput, columns: Sequence[str]) -> Feed:
    return Feed(tensor.name, tuple(columns), tensor.type, tensor.shape)


def spec_of(path: Path, chosen: dict[str, Sequence[str]], **more: Any) -> OnnxSpec:
    """Make the spec as a run makes it: everything but the columns comes from the graph."""
    sha256 = digest_of_path(path)
    inputs = describe_onnx(ResolvedModel(path, "model", "1", sha256)).signature.inputs or ()
    feeds = tuple(feed_of(tensor, chosen[str(tensor.name)]) for tensor in inputs if isinstance(tensor, TensorInput))
    files = ModelFiles("model", "1", str(path), sha256)
    return OnnxSpec(files, graph_file(path), feeds, graph_outputs(path), **more)


Load = Callable[..., OnnxScorer]


@pytest.fixture
def save(tmp_path: Path) -> Callable[[ModelProto], Path]:
    def write(model: ModelProto) -> Path:
        path = tmp_path / f"model-{len(list(tmp_path.iterdir()))}.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return write


@pytest.fixture
def load(save: Callable[[ModelProto], Path]) -> Load:
    def make(model: ModelProto, chosen: dict[str, Sequence[str]], **more: Any) -> OnnxScorer:
        scorer = load_scorer(spec_of(save(model), chosen, **more))
        assert isinstance(scorer, OnnxScorer)
        return scorer

    return make


def plain_run(model: ModelProto, feeds: dict[str, npt.NDArray[Any]], threads: int = 1) -> list[Any]:
    """Run a model as a user does who has never heard of sparkscore.

    In as many threads as the scorer: ONNX Runtime adds up the trees of an ensemble in an order that depends on them.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return list(session.run(None, feeds))


def batch_of(matrix: npt.NDArray[Any]) -> MiniBatch:
    columns = {name: pa.array(column) for name, column in zip(NAMES, matrix.T, strict=False)}
    return MiniBatch("0", (), pa.table(columns))


def bits(found: Any) -> Any:
    """Give what two results must share, bit for bit: NaN is not itself, and -0.0 is not 0.0."""
    if isinstance(found, NamedColumns):
        return {name: bits(column) for name, column in found.columns.items()}
    if isinstance(found, np.ndarray) and found.dtype != object:
        return found.dtype.str, found.shape, found.tobytes()
    return [repr(item) for item in found]


def failure_of(call: Callable[[], object]) -> Failure:
    with pytest.raises(ScorerFailedError) as caught:
        call()
    return caught.value.failure


# --------------------------------------------------------------------------------------------- equal to plain Python


def hard_rows(rows: int) -> npt.NDArray[np.float32]:
    """Give rows of ordinary numbers with extreme ones among them, first of all one row of each."""
    found = RANDOM.normal(size=(rows, 4)).astype(np.float32)
    found[: len(EXTREMES)] = np.array(EXTREMES, np.float32)[:, None]
    places = RANDOM.random(found.shape) < 0.2
    found[places] = RANDOM.choice(np.array(EXTREMES, np.float32), places.sum())
    return found


@pytest.mark.parametrize(
    "estimator",
    [
        GradientBoostingRegressor(n_estimators=20),
        MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", max_iter=5000),
    ],
    ids=["trees", "network"],
)
def test_a_regressor_gives_the_bits_of_plain_onnxruntime(load: Load, estimator: Any) -> None:
    model = to_onnx(estimator.fit(FEATURES, FEATURES[:, 0]), FEATURES[:1])
    rows = hard_rows(3000)

    found = load(model, {"X": NAMES}).score(batch_of(rows))

    (expected,) = plain_run(model, {"X": rows})
    assert bits(found) == bits(expected)


def test_with_several_threads_the_bits_are_those_of_as_many_threads(load: Load) -> None:
    model = to_onnx(GradientBoostingRegressor(n_estimators=50).fit(FEATURES, FEATURES[:, 0]), FEATURES[:1])
    rows = RANDOM.normal(size=(1000, 4)).astype(np.float32)

    found = [load(model, {"X": NAMES}, threads=threads).score(batch_of(rows)) for threads in (1, 2)]

    (one,), (two,) = plain_run(model, {"X": rows}), plain_run(model, {"X": rows}, threads=2)
    assert [bits(each) for each in found] == [bits(one), bits(two)]
    np.testing.assert_allclose(one, two, rtol=1e-5)


def test_with_one_thread_an_ensemble_gives_a_row_the_same_bits_in_any_mini_batch(load: Load) -> None:
    model = to_onnx(GradientBoostingRegressor(n_estimators=50).fit(FEATURES, FEATURES[:, 0]), FEATURES[:1])
    scorer = load(model, {"X": NAMES})

    alone = [np.asarray(scorer.score(batch_of(FEATURES[row : row + 1]))) for row in range(len(FEATURES))]

    assert bits(np.concatenate(alone)) == bits(scorer.score(batch_of(FEATURES)))


@pytest.mark.parametrize("labels", [[0, 1], ["no", "yes"]], ids=["integers", "texts"])
@pytest.mark.parametrize("is_zipmap", [True, False], ids=["maps", "tensors"])
@pytest.mark.parametrize(
    "classifier", [GradientBoostingClassifier(n_estimators=10), LogisticRegression()], ids=["trees", "logistic"]
)
def test_a_classifier_gives_the_bits_of_plain_onnxruntime(
    load: Load, labels: list[Any], classifier: Any, *, is_zipmap: bool
) -> None:
    classifier.fit(FEATURES, np.array(labels)[(FEATURES[:, 0] > 0).astype(int)])
    model = to_onnx(classifier, FEATURES[:1], options={"zipmap": is_zipmap})
    rows = hard_rows(1000)

    found = load(model, {"X": NAMES}).score(batch_of(rows))

    assert isinstance(found, NamedColumns)
    names = ["output_label", "output_probability"] if is_zipmap else ["label", "probabilities"]
    expected = dict(zip(names, plain_run(model, {"X": rows}), strict=True))
    assert bits(found) == {name: bits(column) for name, column in expected.items()}


@pytest.mark.parametrize("is_zipmap", [True, False])
def test_what_comes_back_has_the_columns_that_the_graph_promises(
    load: Load, save: Callable[[ModelProto], Path], *, is_zipmap: bool
) -> None:
    classifier = LogisticRegression().fit(FEATURES, np.where(FEATURES[:, 0] > 0, "yes", "no"))
    model = to_onnx(classifier, FEATURES[:1], options={"zipmap": is_zipmap})
    schema = describe_onnx(ResolvedModel(save(model), "model", "1", "")).signature.outputs

    found = tabulate(load(model, {"X": NAMES}).score(batch_of(FEATURES)), schema)

    assert found.table.schema == schema
    assert found.elements == 200
    label, probabilities = plain_run(model, {"X": FEATURES})
    assert found.table.column(0).to_pylist() == list(label)
    assert [list(row) for row in found.table.column(1).to_pylist()] == [
        list(row.items()) if is_zipmap else row.tolist() for row in probabilities
    ]


def test_several_tensors_of_one_value_each_are_columns_of_scalars(
    load: Load, save: Callable[[ModelProto], Path]
) -> None:
    model = graph(
        [helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Identity", ["x"], ["z"])],
        [value("x", ("N", 1))],
        [value("y", ("N", 1)), value("z", ("N", "width"))],
    )
    schema = describe_onnx(ResolvedModel(save(model), "model", "1", "")).signature.outputs

    found = tabulate(load(model, {"x": ["a"]}).score(batch_of(FEATURES[:2, :1])), schema).table

    first, second = FEATURES[:2, 0].tolist()
    assert found.to_pylist() == [{"y": -first, "z": [first]}, {"y": -second, "z": [second]}]


#: Every type that a column can feed, with values at the edge of what it holds.
EDGES: dict[int, npt.NDArray[Any]] = {
    FLOAT: np.array(EXTREMES, np.float32),
    TensorProto.DOUBLE: np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324, 1.7976931348623157e308, 0.1]),
    TensorProto.FLOAT16: np.array([np.nan, np.inf, -np.inf, -0.0, 6e-8, 65504, 0.1], np.float16),
    TensorProto.INT8: np.array([-128, 0, 127], np.int8),
    TensorProto.INT16: np.array([-(2**15), 0, 2**15 - 1], np.int16),
    TensorProto.INT32: np.array([-(2**31), 0, 2**31 - 1], np.int32),
    INT64: np.array([-(2**63), -(2**53) - 1, 0, 2**63 - 1], np.int64),
    TensorProto.UINT8: np.array([0, 255], np.uint8),
    TensorProto.UINT16: np.array([0, 2**16 - 1], np.uint16),
    TensorProto.UINT32: np.array([0, 2**32 - 1], np.uint32),
    TensorProto.UINT64: np.array([0, 2**64 - 1], np.uint64),
    TensorProto.BOOL: np.array([True, False, True]),
    TensorProto.STRING: np.array(["", "ä", "日本", "a" * 300, "\0"], object),
}


@pytest.mark.parametrize("element", EDGES, ids=lambda element: TensorProto.DataType.Name(element).lower())
@pytest.mark.parametrize("shape", [("N",), ("N", 1), ("N", 2)], ids=["scalars", "one", "two"])
def test_every_type_passes_through_unchanged(
    load: Load, save: Callable[[ModelProto], Path], element: int, shape: tuple[str | int, ...]
) -> None:
    model = identity(shape, element)
    edges = EDGES[element]
    width = int(shape[1]) if len(shape) > 1 else 1
    mini_batch = MiniBatch("0", (), pa.table({name: pa.array(edges) for name in NAMES[:width]}))

    found = load(model, {"x": NAMES[:width]}).score(mini_batch)

    expected = edges if len(shape) == 1 else np.stack([edges] * width, axis=1)
    assert isinstance(found, np.ndarray)
    assert bits(found.ravel()) == bits(expected.ravel())
    schema = describe_onnx(ResolvedModel(save(model), "model", "1", "")).signature.outputs
    assert schema is not None
    table = tabulate(found, schema).table
    assert table.schema == schema
    widened = pa.array(edges).cast(type_of_element(schema.field("prediction").type)).to_pylist()
    values = widened if width == 1 else [[item] * width for item in widened]
    assert repr(table.column("prediction").to_pylist()) == repr(values)


def type_of_element(type_: pa.DataType) -> pa.DataType:
    return type_.value_type if pa.types.is_list(type_) else type_


def test_several_named_inputs_get_their_own_columns(load: Load) -> None:
    model = graph(
        [
            helper.make_node("Gather", ["table", "ids"], ["rows"]),
            helper.make_node("Mul", ["rows", "weights"], ["y"]),
            helper.make_node("Identity", ["texts"], ["z"]),
        ],
        [value("ids", ("N",), INT64), value("weights", ("N", 2)), value("texts", ("N",), TensorProto.STRING)],
        [value("y", ("N", 2)), value("z", ("N",), TensorProto.STRING)],
        initializer=[numpy_helper.from_array(np.array([[1, 10], [2, 20], [3, 30]], np.float32), "table")],
    )
    rows = pa.table({"w2": [0.25, 4.0], "t": ["ä", ""], "id": [2, 0], "w1": [0.5, -1.0]}).cast(
        pa.schema([("w2", pa.float32()), ("t", pa.string()), ("id", pa.int64()), ("w1", pa.float32())])
    )

    found = load(model, {"weights": ["w1", "w2"], "ids": ["id"], "texts": ["t"]}).score(MiniBatch("0", (), rows))

    assert isinstance(found, NamedColumns)
    assert found.columns["y"].tolist() == [[1.5, 7.5], [-1.0, 40.0]]
    assert list(found.columns["z"]) == ["ä", ""]


def test_texts_are_fed_to_an_encoder(load: Load) -> None:
    encoder = OneHotEncoder(sparse_output=False).fit(np.array([["red"], ["blue"]], object))
    from skl2onnx.common.data_types import StringTensorType  # noqa: PLC0415

    model = to_onnx(encoder, initial_types=[("color", StringTensorType([None, 1]))])
    rows = pa.table({"color": ["blue", "red", "red"]})

    found = load(model, {"color": ["color"]}).score(MiniBatch("0", (), rows))

    assert np.asarray(found).tolist() == [[1, 0], [0, 1], [0, 1]]


def test_a_column_of_lists_feeds_a_tensor_of_more_dimensions(load: Load) -> None:
    model = identity(("N", 2, "width"))
    rows = pa.table({"x": pa.array([[[1.0, 2, 3], [4, 5, 6]]] * 2, pa.list_(pa.list_(pa.float32())))})

    found = load(model, {"x": ["x"]}).score(MiniBatch("0", (), rows))

    assert np.asarray(found).tolist() == [[[1, 2, 3], [4, 5, 6]]] * 2


def test_a_mini_batch_of_chunks_is_one_tensor(load: Load) -> None:
    chunks = [batch_of(FEATURES[:3]).rows, batch_of(FEATURES[3:150]).rows, batch_of(FEATURES[150:]).rows]

    found = load(identity(("N", 4)), {"x": NAMES}).score(MiniBatch("0", (), pa.concat_tables(chunks)))

    assert bits(found) == bits(FEATURES)


def test_the_input_stays_as_it_was(load: Load) -> None:
    model = graph(
        [helper.make_node("Neg", ["x"], ["z"]), helper.make_node("Sqrt", ["z"], ["y"])],
        [value("x", ("N",))],
        [value("y", ("N",))],
    )
    rows = pa.table({"a": pa.array(EXTREMES, pa.float32())})
    before = rows.column("a").combine_chunks().to_numpy().tobytes()

    load(model, {"x": ["a"]}).score(MiniBatch("0", (), rows))

    assert rows.column("a").combine_chunks().to_numpy().tobytes() == before


def test_what_came_back_outlives_the_next_call_and_the_session(load: Load) -> None:
    scorer = load(identity(("N", 4)), {"x": NAMES})

    first = scorer.score(batch_of(FEATURES))
    scorer.score(batch_of(-FEATURES))
    scorer.close()

    assert bits(first) == bits(FEATURES)


# ------------------------------------------------------------------------------------------------------- fixed batches


@given(st.integers(1, 9), st.integers(1, 40), st.data())
def test_a_fixed_batch_is_filled_up_and_cut(size: int, rows: int, data: st.DataObject) -> None:
    model = graph(
        [helper.make_node("Mul", ["x", "two"], ["y"])],
        [value("x", (size, 3))],
        [value("y", (size, 3))],
        initializer=[numpy_helper.from_array(np.array(2, np.float32), "two")],
    )
    numbers = data.draw(st.lists(st.lists(st.floats(width=32), min_size=3, max_size=3), min_size=rows, max_size=rows))
    matrix = np.array(numbers, np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model.SerializeToString())
        found = load_scorer(spec_of(path, {"x": NAMES[:3]})).score(batch_of(matrix))

    with np.errstate(all="ignore"):
        expected = matrix * np.float32(2)
    assert isinstance(found, np.ndarray)
    assert found.shape == (rows, 3)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    numbers_at = ~np.isnan(expected)
    assert found[numbers_at].tobytes() == expected[numbers_at].tobytes()


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 8, 11])
def test_maps_of_a_fixed_batch_are_joined_and_cut(load: Load, rows: int) -> None:
    from skl2onnx.common.data_types import FloatTensorType  # noqa: PLC0415

    classifier = LogisticRegression().fit(FEATURES, np.where(FEATURES[:, 0] > 0, "yes", "no"))
    fixed = to_onnx(classifier, initial_types=[("X", FloatTensorType([4, 4]))])
    free = to_onnx(classifier, initial_types=[("X", FloatTensorType([None, 4]))])

    found = load(fixed, {"X": NAMES}).score(batch_of(FEATURES[:rows]))

    assert bits(found) == bits(load(free, {"X": NAMES}).score(batch_of(FEATURES[:rows])))


def test_texts_fill_up_a_fixed_batch(load: Load) -> None:
    rows = pa.table({"a": ["x", "y", "z"]})

    found = load(identity((2,), TensorProto.STRING), {"x": ["a"]}).score(MiniBatch("0", (), rows))

    assert list(np.asarray(found)) == ["x", "y", "z"]


def test_a_batch_fixed_for_one_input_holds_for_all(load: Load) -> None:
    model = graph(
        [helper.make_node("Add", ["x", "z"], ["y"])], [value("x", (2,)), value("z", ("N",))], [value("y", (2,))]
    )
    rows = pa.table({"a": pa.array([1, 2, 3], pa.float32()), "b": pa.array([10, 20, 30], pa.float32())})

    found = load(model, {"x": ["a"], "z": ["b"]}).score(MiniBatch("0", (), rows))

    assert np.asarray(found).tolist() == [11, 22, 33]


# ------------------------------------------------------------------------------------------------- sequences, optionals


def test_a_sequence_of_tensors_has_one_for_each_row(load: Load) -> None:
    model = graph(
        [helper.make_node("SplitToSequence", ["x"], ["y"], axis=0, keepdims=0)],
        [value("x", ("N", 4))],
        [helper.make_tensor_sequence_value_info("y", FLOAT, [4])],
    )

    found = load(model, {"x": NAMES}).score(batch_of(FEATURES))

    assert tabulate(found).table.column("prediction").to_pylist() == FEATURES.tolist()


def test_a_sequence_of_tensors_without_a_dimension_is_one_of_scalars(load: Load) -> None:
    model = graph(
        [helper.make_node("SplitToSequence", ["x"], ["y"], axis=0, keepdims=0)],
        [value("x", ("N",))],
        [helper.make_tensor_sequence_value_info("y", FLOAT, [])],
    )

    found = load(model, {"x": ["a"]}).score(batch_of(FEATURES[:, :1]))

    schema = pa.schema([("prediction", pa.float32())])
    assert tabulate(found, schema).table.column("prediction").to_pylist() == FEATURES[:, 0].tolist()


def test_an_optional_output_without_a_value_is_null(load: Load) -> None:
    of_floats = helper.make_tensor_type_proto(FLOAT, [2])
    model = graph(
        [helper.make_node("Optional", [], ["y"], type=of_floats), helper.make_node("Identity", ["x"], ["z"])],
        [value("x", (2,))],
        [helper.make_value_info("y", helper.make_optional_type_proto(of_floats)), value("z", (2,))],
    )

    found = load(model, {"x": ["a"]}).score(batch_of(FEATURES[:3, :1]))

    assert isinstance(found, NamedColumns)
    assert found.columns["y"] == [None] * 3
    assert bits(found.columns["z"]) == bits(FEATURES[:3, 0])


@pytest.mark.parametrize(
    ("node", "output", "got"),
    [
        (helper.make_node("NonZero", ["x"], ["y"]), value("y", ("rows", None), INT64), "1 elements for 200 rows"),
        (helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0), value("y", None), "0 elements for 200 rows"),
        (
            helper.make_node("SplitToSequence", ["x", "half"], ["y"], axis=0),
            helper.make_tensor_sequence_value_info("y", FLOAT, None),
            "2 elements for 200 rows",
        ),
    ],
)
def test_an_output_without_a_value_for_each_row_is_refused(
    load: Load, node: NodeProto, output: ValueInfoProto, got: str
) -> None:
    half = [numpy_helper.from_array(np.array(100, np.int64), "half")]
    model = graph([node], [value("x", ("N",))], [output], initializer=half)

    with pytest.raises(OutputContractError, match=rf"\[OUTPUT_ROWS\] output 'y' of the ONNX graph: got {got}"):
        load(model, {"x": ["a"]}).score(batch_of(FEATURES[:, :1]))


def test_only_the_wanted_outputs_come_back(load: Load) -> None:
    model = graph(
        [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0)],
        [value("x", ("N",))],
        [value("s", ()), value("y", ("N",))],
    )

    assert bits(load(model, {"x": ["a"]}).score(batch_of(FEATURES[:, :1]))) == bits(FEATURES[:, 0])


# -------------------------------------------------------------------------------------------------------------- images


def image_model() -> ModelProto:
    return graph(
        [
            helper.make_node("Cast", ["x"], ["f"], to=FLOAT),
            helper.make_node("ReduceMean", ["f"], ["y"], axes=[1, 2, 3], keepdims=0),
        ],
        [value("x", ("N", 2, 2, 3), TensorProto.UINT8)],
        [value("y", ("N",))],
    )


def images(folder: Path) -> tuple[str, ...]:
    for level in (10, 200):
        Image.new("RGB", (2, 2), (level, level, level)).save(folder / f"{level}.png")
    (folder / "corrupt.png").write_bytes(b"no image")
    return tuple(str(folder / name) for name in ("10.png", "corrupt.png", "200.png"))


def test_images_are_scored_and_a_corrupt_one_fails_alone(load: Load, tmp_path: Path) -> None:
    first, corrupt, last = images(tmp_path)
    scorer = load(image_model(), {"x": []})

    assert np.asarray(scorer.score(MiniBatch("0", (last, first)))).tolist() == [200, 10]
    found = scorer.score(MiniBatch("0", (first, corrupt, last)))
    assert isinstance(found, PartlyScored)
    assert np.asarray(found.returned).tolist() == [10, 200]
    assert [failure.position for failure in found.failures] == [1]


def test_a_mini_batch_of_corrupt_images_fails_without_a_run(load: Load, tmp_path: Path) -> None:
    _, corrupt, _ = images(tmp_path)

    found = load(image_model(), {"x": []}).score(MiniBatch("0", (corrupt, corrupt)))

    assert isinstance(found, PartlyScored)
    assert [failure.position for failure in found.failures] == [0, 1]


# ------------------------------------------------------------------------------------------------------------- loading


def test_a_folder_with_external_data_is_loaded(tmp_path: Path, load: Load) -> None:
    model = graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", ("N", 4))],
        [value("y", ("N", 300))],
        initializer=[numpy_helper.from_array(RANDOM.normal(size=(4, 300)).astype(np.float32), "w")],
    )
    expected = load(model, {"x": NAMES}).score(batch_of(FEATURES))
    folder = tmp_path / "net"
    (folder / "graph").mkdir(parents=True)
    onnx.save_model(model, folder / "graph" / "net.onnx", save_as_external_data=True, location="w.bin")
    assert (folder / "graph" / "w.bin").stat().st_size >= 4800

    spec = spec_of(folder, {"x": NAMES})

    assert spec.graph == "graph/net.onnx"
    assert bits(load_scorer(spec).score(batch_of(FEATURES))) == bits(expected)


def test_external_data_of_a_folder_of_links_is_loaded(tmp_path: Path) -> None:
    """Caches of downloaded models are folders of links; the copy that workers get is not."""
    model = identity(("N", 4))
    model.graph.initializer.append(numpy_helper.from_array(np.ones(300, np.float32), "w"))
    (tmp_path / "blobs").mkdir()
    onnx.save_model(model, tmp_path / "blobs" / "net.onnx", save_as_external_data=True, location="w.bin")
    (tmp_path / "net").mkdir()
    for name in ("net.onnx", "w.bin"):
        (tmp_path / "net" / name).symlink_to(tmp_path / "blobs" / name)

    assert bits(load_scorer(spec_of(tmp_path / "net", {"x": NAMES})).score(batch_of(FEATURES))) == bits(FEATURES)


def test_a_spec_travels(save: Callable[[ModelProto], Path]) -> None:
    spec = pickle.loads(pickle.dumps(spec_of(save(identity(("N", 4))), {"x": NAMES})))  # noqa: S301 - our own

    assert bits(load_scorer(spec).score(batch_of(FEATURES))) == bits(FEATURES)


def test_a_model_that_changed_is_refused(save: Callable[[ModelProto], Path]) -> None:
    path = save(identity(("N", 4)))
    spec = spec_of(path, {"x": NAMES})
    path.write_bytes(identity(("N", 3)).SerializeToString())

    with pytest.raises(ModelError, match="MODEL_CHANGED"):
        load_scorer(spec)


def test_what_onnxruntime_says_of_a_graph_it_cannot_load_is_reported(load: Load, capfd: Any) -> None:
    model = graph([helper.make_node("NoSuch", ["x"], ["y"], domain="my")], [value("x", ("N",))], [value("y", ("N",))])
    model.opset_import.append(helper.make_opsetid("my", 1))

    failure = failure_of(lambda: load(model, {"x": ["a"]}))

    assert failure.code == "MODEL_LOAD"
    assert "NoSuch" in failure.message
    assert capfd.readouterr() == ("", "")


def test_what_onnxruntime_says_of_rows_is_reported_and_not_logged(load: Load, capfd: Any) -> None:
    model = graph(
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        [value("x", ("N",), INT64)],
        [value("y", ("N",))],
        initializer=[numpy_helper.from_array(np.ones(3, np.float32), "table")],
    )
    scorer = load(model, {"x": ["a"]})

    failure = failure_of(lambda: scorer.score(MiniBatch("0", (), pa.table({"a": [0, 7777]}))))

    assert failure.code == "MODEL_PREDICT"
    assert "7777" in failure.message
    assert capfd.readouterr() == ("", "")
    assert np.asarray(scorer.score(MiniBatch("0", (), pa.table({"a": [0, 2]})))).tolist() == [1, 1]


def test_without_onnxruntime_the_extra_is_named(
    save: Callable[[ModelProto], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(save(identity(("N", 4))), {"x": NAMES})
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(MissingDependencyError, match=r"'onnxruntime'.*pip install 'sparkscore\[onnx\]'"):
        load_scorer(spec)


def test_a_scorer_that_is_not_loaded_does_not_score(save: Callable[[ModelProto], Path]) -> None:
    scorer = OnnxScorer(spec_of(save(identity(("N", 4))), {"x": NAMES}))

    with pytest.raises(RuntimeError, match="not loaded"):
        scorer.score(batch_of(FEATURES))
    scorer.close()


# --------------------------------------------------------------------------------------- providers and session options


def test_the_session_has_the_tasks_threads_and_the_deployment_has_the_last_word() -> None:
    ours = _make_options(3, {})
    assert (ours.intra_op_num_threads, ours.inter_op_num_threads, ours.log_severity_level) == (3, 1, 4)
    assert ours.execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL

    chosen = {
        "intra_op_num_threads": 2,
        "execution_mode": "ORT_PARALLEL",
        "graph_optimization_level": "ORT_DISABLE_ALL",
        "enable_mem_pattern": False,
        "session.intra_op.allow_spinning": False,
        "session.set_denormal_as_zero": 1,
    }
    theirs = _make_options(3, chosen)
    assert (theirs.intra_op_num_threads, theirs.enable_mem_pattern) == (2, False)
    assert theirs.execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL
    assert theirs.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    assert theirs.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert theirs.get_session_config_entry("session.set_denormal_as_zero") == "1"


def test_options_and_providers_reach_the_session(load: Load) -> None:
    options = (("optimized_model_filepath", str(Path(tempfile.gettempdir()) / "optimized.onnx")),)

    scorer = load(identity(("N", 4)), {"x": NAMES}, providers=("CPUExecutionProvider",), session_options=options)

    assert Path(options[0][1]).is_file()
    assert bits(scorer.score(batch_of(FEATURES))) == bits(FEATURES)


def test_providers_and_options_that_there_are_pass() -> None:
    check_session((), {})
    check_session(["CPUExecutionProvider"], {"enable_profiling": False, "execution_mode": "ORT_SEQUENTIAL"})


@pytest.mark.parametrize("provider", ["CPU", "NoSuchExecutionProvider", "CUDAExecutionProvider"])
def test_a_provider_that_is_not_there_is_refused(load: Load, provider: str, capfd: Any) -> None:
    if provider in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has it")
    pattern = rf"\[ONNX_PROVIDER\].*'{provider}'.*among .*CPUExecutionProvider"

    with pytest.raises(ConfigError, match=pattern):
        check_session(["CPUExecutionProvider", provider], {})
    with pytest.raises(ConfigError, match=pattern):
        load(identity(("N", 4)), {"x": NAMES}, providers=(provider,))
    assert capfd.readouterr() == ("", "")


def test_a_provider_that_does_not_start_is_refused_and_not_replaced(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider is there with the package, and does not start where its driver is missing."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["GpuProvider", "CPUExecutionProvider"])
    real = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda path, options, _, **more: real(path, options, None, **more)
    )

    with pytest.raises(ConfigError, match=r"\[ONNX_PROVIDER\].*'GpuProvider'"):
        load(identity(("N", 4)), {"x": NAMES}, providers=("GpuProvider", "CPUExecutionProvider"))


@pytest.mark.parametrize(
    ("name", "chosen", "message"),
    [
        ("intra_op_threads", 2, "'intra_op_threads': got an unknown name, expected one of .*intra_op_num"),
        ("add_provider", 2, "an unknown name"),
        ("intra_op_num_threads", "2", "'intra_op_num_threads': got str, expected int"),
        ("enable_mem_pattern", "no", "got str, expected bool"),
        ("execution_mode", "fast", "got 'fast', expected one of ORT_SEQUENTIAL, ORT_PARALLEL"),
        ("graph_optimization_level", 99, "got '99', expected one of ORT_DISABLE_ALL"),
        ("graph_optimization_level", ["ORT_ENABLE_ALL"], "expected one of ORT_DISABLE_ALL"),
    ],
)
def test_a_session_option_that_there_is_not_is_refused(load: Load, name: str, chosen: object, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"\[ONNX_SESSION_OPTION\] session option .*{message}"):
        check_session([], {name: chosen})
    with pytest.raises(ConfigError, match=rf"\[ONNX_SESSION_OPTION\] session option .*{message}"):
        load(identity(("N", 4)), {"x": NAMES}, session_options=((name, chosen),))


def test_where_onnxruntime_is_not_installed_the_workers_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    check_session(["NoSuch"], {"no_such": 1})


IMPORTS = {
    "the scorer": "import sparkscore.scorers.onnx as it; it.check_session([], {})",
    "MLflow": "from sparkscore.registry import quiet_mlflow\nwith quiet_mlflow(): import onnxruntime",
}


@pytest.mark.parametrize(("way", "is_there"), [("the scorer", True), ("the scorer", False), ("MLflow", True)])
def test_importing_the_runtime_neither_keeps_an_id_of_this_machine_nor_complains(
    tmp_path: Path, way: str, is_there: object
) -> None:
    # ONNX Runtime's telemetry is off where one of these tells of a CI system.
    known = {name: value for name, value in os.environ.items() if name in ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH")}
    home = tmp_path / "home"
    home.mkdir() if is_there else home.touch()
    code = f"import os; before = dict(os.environ)\n{IMPORTS[way]}\nassert os.environ == before"

    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=known | {"HOME": str(home)}, check=False
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert not [path for path in home.rglob("*") if path.is_file()]
