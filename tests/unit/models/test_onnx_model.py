from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data
from skl2onnx import to_onnx
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LogisticRegression

from sparkscore.errors import MissingDependencyError, ModelError, ModelLoadError, ModelNotFoundError
from sparkscore.models.model_description import ModelDescription
from sparkscore.models.onnx_model import describe_onnx, graph_file, graph_outputs
from sparkscore.models.resolve import ResolvedModel
from sparkscore.signature.model_signature import TensorInput

Shape = Sequence[str | int | None] | None
FLOAT = TensorProto.FLOAT
FEATURES = np.random.default_rng(7).normal(size=(60, 3)).astype(np.float32)
TEXTS = np.where(FEATURES[:, 0] > 0, "yes", "no")


def tensor(name: str, shape: Shape = ("N", 3), element: int = FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, element, shape)


def typed(name: str, type_: TypeProto) -> ValueInfoProto:
    return helper.make_value_info(name, type_)


def model(
    inputs: Sequence[ValueInfoProto] = (),
    outputs: Sequence[ValueInfoProto] = (),
    *,
    nodes: Sequence[NodeProto] = (),
    opsets: Sequence[tuple[str, int]] = (("", 17),),
    ir_version: int = 8,
    **graph: Any,
) -> ModelProto:
    found = helper.make_graph(
        list(nodes), "graph", list(inputs or [tensor("x")]), list(outputs or [tensor("y")]), **graph
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets]
    return helper.make_model(found, opset_imports=imports, ir_version=ir_version)


def resolved(path: Path) -> ResolvedModel:
    return ResolvedModel(path, "model", "1", "0" * 64)


@pytest.fixture
def describe(tmp_path: Path) -> Callable[[ModelProto | bytes], ModelDescription]:
    def make(content: ModelProto | bytes) -> ModelDescription:
        path = tmp_path / "model.onnx"
        path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
        return describe_onnx(resolved(path))

    return make


Describe = Callable[[ModelProto | bytes], ModelDescription]


def columns_of(description: ModelDescription) -> dict[str, pa.DataType]:
    schema = description.signature.outputs
    assert schema is not None
    return dict(zip(schema.names, schema.types, strict=True))


def test_a_graph_says_what_it_takes_and_gives(describe: Describe) -> None:
    found = describe(model([tensor("x", ("N", 3)), tensor("ids", (None,), TensorProto.INT64)], [tensor("y", ("N",))]))

    assert found.model_format == "onnx"
    assert found.signature.inputs == (TensorInput("x", pa.float32(), (-1, 3)), TensorInput("ids", pa.int64(), (-1,)))
    assert columns_of(found) == {"prediction": pa.float32()}
    assert found.signature.params == ()
    assert not found.runs_code


@pytest.mark.parametrize(
    ("element", "type_", "column"),
    [
        (TensorProto.FLOAT, pa.float32(), pa.float32()),
        (TensorProto.DOUBLE, pa.float64(), pa.float64()),
        (TensorProto.FLOAT16, pa.float16(), pa.float32()),
        (TensorProto.INT8, pa.int8(), pa.int8()),
        (TensorProto.INT16, pa.int16(), pa.int16()),
        (TensorProto.INT32, pa.int32(), pa.int32()),
        (TensorProto.INT64, pa.int64(), pa.int64()),
        (TensorProto.UINT8, pa.uint8(), pa.int16()),
        (TensorProto.UINT16, pa.uint16(), pa.int32()),
        (TensorProto.UINT32, pa.uint32(), pa.int64()),
        (TensorProto.UINT64, pa.uint64(), pa.decimal128(20, 0)),
        (TensorProto.BOOL, pa.bool_(), pa.bool_()),
        (TensorProto.STRING, pa.string(), pa.string()),
    ],
)
def test_every_type_of_elements(describe: Describe, element: int, type_: pa.DataType, column: pa.DataType) -> None:
    found = describe(model([tensor("x", ("N",), element)], [tensor("y", ("N",), element)]))

    assert found.signature.inputs == (TensorInput("x", type_, (-1,)),)
    assert columns_of(found) == {"prediction": column}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (("batch", 3), (-1, 3)),
        ((None, None), (-1, -1)),
        ((-1, 3), (-1, 3)),
        ((4, 3, 8, 8), (4, 3, 8, 8)),
        ((1, "width"), (1, -1)),
        (("N", 0), (-1, 0)),
    ],
)
def test_a_dimension_that_is_not_a_size_is_free(describe: Describe, shape: Shape, expected: tuple[int, ...]) -> None:
    found = describe(model([tensor("x", shape)], [tensor("y", (shape[0],) if shape else ())]))

    assert found.signature.inputs == (TensorInput("x", pa.float32(), expected),)


def test_an_input_with_an_initializer_need_not_be_fed(describe: Describe) -> None:
    weights = numpy_helper.from_array(np.ones(3, np.float32), "w")
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.ones(1, np.float32), "s"), numpy_helper.from_array(np.zeros(1, np.int64), "at"), [3]
    )

    found = describe(
        model(
            [tensor("x"), tensor("w", (3,)), tensor("s", (3,))],
            initializer=[weights],
            sparse_initializer=[sparse],
        )
    )

    assert [one.name for one in found.signature.inputs or ()] == ["x"]


def listed(type_: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("element", type_))


def maps(key: int, element: int) -> TypeProto:
    return helper.make_sequence_type_proto(helper.make_map_type_proto(key, helper.make_tensor_type_proto(element, [])))


MAPS = maps(TensorProto.INT64, FLOAT)
NAMED_MAPS = maps(TensorProto.STRING, TensorProto.DOUBLE)


@pytest.mark.parametrize(
    ("output", "column"),
    [
        (tensor("y", ("N",)), pa.float32()),
        (tensor("y", ("other",)), pa.float32()),
        (tensor("y", ("N", 1)), pa.float32()),
        (tensor("y", ("N", 2)), listed(pa.float32())),
        (tensor("y", ("N", None)), listed(pa.float32())),
        (tensor("y", ("N", 1, 1)), listed(listed(pa.float32()))),
        (tensor("y", ("N", 2, 3), TensorProto.STRING), listed(listed(pa.string()))),
        (typed("y", MAPS), pa.map_(pa.int64(), pa.float32())),
        (typed("y", NAMED_MAPS), pa.map_(pa.string(), pa.float64())),
        (helper.make_tensor_sequence_value_info("y", FLOAT, []), pa.float32()),
        (helper.make_tensor_sequence_value_info("y", FLOAT, [1]), listed(pa.float32())),
        (helper.make_tensor_sequence_value_info("y", FLOAT, [None, 2]), listed(listed(pa.float32()))),
        (typed("y", helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, ["N"]))), pa.float32()),
        (typed("y", helper.make_optional_type_proto(MAPS)), pa.map_(pa.int64(), pa.float32())),
    ],
)
def test_the_type_of_an_outputs_column(describe: Describe, output: ValueInfoProto, column: pa.DataType) -> None:
    assert columns_of(describe(model(outputs=[output]))) == {"prediction": column}


@pytest.mark.parametrize(
    "output",
    [
        tensor("y", None),
        helper.make_tensor_sequence_value_info("y", FLOAT, None),
        ValueInfoProto(name="y"),
    ],
)
def test_an_output_that_the_graph_does_not_describe_is_left_to_the_probe(
    describe: Describe, tmp_path: Path, output: ValueInfoProto
) -> None:
    found = describe(model(outputs=[tensor("z", ("N",)), output]))

    assert found.signature.outputs is None
    assert graph_outputs(tmp_path / "model.onnx") == (("z", "z"), ("y", "y"))


def test_several_outputs_keep_their_names(describe: Describe, tmp_path: Path) -> None:
    found = describe(model(outputs=[tensor("dense:0", ("N",)), tensor("p", ("N", 2))]))

    assert columns_of(found) == {"dense:0": pa.float32(), "p": listed(pa.float32())}
    assert graph_outputs(tmp_path / "model.onnx") == (("dense:0", "dense:0"), ("p", "p"))


@pytest.mark.parametrize(
    "summary",
    [
        tensor("s", ()),
        tensor("s", (5,)),
        tensor("s", (5, "N")),
        typed("s", helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(FLOAT, []))),
        typed("s", helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, [5]))),
    ],
)
def test_an_output_that_says_nothing_about_a_row_is_left_out(
    describe: Describe, tmp_path: Path, summary: ValueInfoProto
) -> None:
    found = describe(model(outputs=[summary, tensor("y", ("N",))]))

    assert columns_of(found) == {"prediction": pa.float32()}
    assert graph_outputs(tmp_path / "model.onnx") == (("y", "prediction"),)


def test_with_a_fixed_batch_the_outputs_of_that_size_are_rows(describe: Describe) -> None:
    outputs = [tensor("a", (4, 2)), tensor("b", ("free",)), tensor("c", (3, 2))]

    found = describe(model([tensor("x", (4, 3)), tensor("z", ("N", 3))], outputs))

    assert columns_of(found) == {"a": listed(pa.float32()), "b": pa.float32()}


def test_models_of_scikit_learn(describe: Describe, tmp_path: Path) -> None:
    classifier = LogisticRegression().fit(FEATURES, TEXTS)
    regressor = GradientBoostingRegressor(n_estimators=3).fit(FEATURES, FEATURES[:, 1])

    maps = describe(to_onnx(classifier, FEATURES[:1]))
    tensors = describe(to_onnx(classifier, FEATURES[:1], options={"zipmap": False}))
    numbers = describe(to_onnx(regressor, FEATURES[:1]))

    assert columns_of(maps) == {"output_label": pa.string(), "output_probability": pa.map_(pa.string(), pa.float32())}
    assert columns_of(tensors) == {"label": pa.string(), "probabilities": listed(pa.float32())}
    assert columns_of(numbers) == {"prediction": pa.float32()}
    assert numbers.signature.inputs == (TensorInput("X", pa.float32(), (-1, 3)),)
    assert graph_outputs(tmp_path / "model.onnx") == (("variable", "prediction"),)


# --------------------------------------------------------------------------------------------------------------- files


def test_a_folder_is_known_by_its_one_graph(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "Net.ONNX").write_bytes(model().SerializeToString())
    (tmp_path / "weights.bin").write_bytes(b"")

    assert graph_file(tmp_path) == "sub/Net.ONNX"
    assert graph_file(tmp_path / "sub" / "Net.ONNX") == ""
    assert columns_of(describe_onnx(resolved(tmp_path))) == {"prediction": listed(pa.float32())}
    assert graph_outputs(tmp_path) == (("y", "prediction"),)


def test_a_folder_without_a_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pb").write_bytes(b"")

    with pytest.raises(ModelNotFoundError, match=r"\[ONNX_NO_GRAPH\].*no \.onnx file"):
        describe_onnx(resolved(tmp_path))


def test_a_folder_with_several_graphs_is_refused_by_their_names(tmp_path: Path) -> None:
    for name in ("decoder.onnx", "encoder.onnx"):
        (tmp_path / name).write_bytes(model().SerializeToString())

    with pytest.raises(ModelError, match=r"ONNX_SEVERAL_GRAPHS.*'decoder.onnx', 'encoder.onnx'.*Name the file itself"):
        graph_file(tmp_path)
    assert graph_outputs(tmp_path / "encoder.onnx") == (("y", "prediction"),)


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 no graph", b"\x08\x07", model().SerializeToString()[:-3], model(opsets=()).SerializeToString()],
)
def test_what_is_no_graph_is_refused(describe: Describe, content: bytes) -> None:
    with pytest.raises(ModelLoadError, match=r"\[ONNX_BROKEN\]"):
        describe(content)


WHOLE = to_onnx(LogisticRegression().fit(FEATURES, TEXTS), FEATURES[:1]).SerializeToString()


@given(st.integers(0, len(WHOLE) - 1), st.binary(max_size=4))
def test_a_damaged_graph_is_refused_or_read_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, position: int, instead: bytes
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "model.onnx"
    rest = WHOLE[position + len(instead) :] if instead else b""
    path.write_bytes(WHOLE[:position] + instead + rest)

    with suppress(ModelLoadError):
        assert describe_onnx(resolved(path)).model_format == "onnx"


SPARSE = helper.make_sparse_tensor_type_proto(FLOAT, ["N"])
OPTIONAL = helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, ["N"]))


@pytest.mark.parametrize(
    ("inputs", "got"),
    [
        ([typed("x", MAPS)], "got a? ?sequence"),
        ([typed("x", SPARSE)], "sparse tensor"),
        ([typed("x", OPTIONAL)], "optional"),
        ([ValueInfoProto(name="x")], "got nothing"),
        ([tensor("x", ("N",), TensorProto.COMPLEX64)], "elements of type COMPLEX64, expected 'BOOL'"),
        ([tensor("x", ("N",), TensorProto.BFLOAT16)], "elements of type BFLOAT16"),
        ([tensor("x", ("N",), 0)], "elements of type UNDEFINED"),
        ([tensor("x", ("N",), 99)], "elements of type number 99"),
        ([tensor("x", None)], "a tensor without a number of dimensions in the graph"),
        ([tensor("x", ())], r"shape \[\]"),
        ([tensor("x", (0, 3))], r"shape \[0, 3\]"),
        ([tensor("x", (4, 3)), tensor("z", (8,))], "4 of 'x', 8 of 'z'"),
    ],
)
def test_an_input_that_rows_cannot_feed_is_refused(
    describe: Describe, inputs: Sequence[ValueInfoProto], got: str
) -> None:
    with pytest.raises(ModelLoadError, match=rf"\[ONNX_INPUT\].*{got}"):
        describe(model(inputs))


def test_a_graph_of_constants_is_refused(describe: Describe) -> None:
    weights = numpy_helper.from_array(np.ones(3, np.float32), "w")

    with pytest.raises(ModelLoadError, match=r"\[ONNX_INPUT\].*got none"):
        describe(model([tensor("w", (3,))], initializer=[weights]))


@pytest.mark.parametrize(
    ("output", "got"),
    [
        (tensor("y", ("N",), TensorProto.BFLOAT16), "elements of type BFLOAT16"),
        (tensor("y", ("N",), TensorProto.COMPLEX128), "elements of type COMPLEX128"),
        (typed("y", SPARSE), "sparse tensor"),
        (typed("y", helper.make_sequence_type_proto(MAPS)), "a sequence of sequence_type"),
        (tensor("y", (7,)), "fixed shapes without a dimension for the rows"),
        (tensor("y", ()), "fixed shapes without a dimension for the rows"),
    ],
)
def test_an_output_that_cannot_be_a_column_is_refused(describe: Describe, output: ValueInfoProto, got: str) -> None:
    with pytest.raises(ModelLoadError, match=rf"\[ONNX_OUTPUT\].*'y'.*{got}"):
        describe(model(outputs=[output]))


# ------------------------------------------------------------------------------------------------------------ versions


def loads(content: ModelProto) -> bool:
    import onnxruntime  # noqa: PLC0415

    try:
        onnxruntime.InferenceSession(content.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001 - its errors have no class in common
        return False
    return True


def versioned(domain: str, version: int) -> ModelProto:
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    if domain == "IR":
        return model(nodes=nodes, ir_version=version)
    return model(nodes=nodes, opsets=[("", version)] if not domain else [("", 17), (domain, version)])


@pytest.mark.parametrize("domain", ["IR", "", "ai.onnx.ml", "com.microsoft"])
def test_the_newest_version_of_the_installed_runtime_is_taken_and_the_next_refused(
    describe: Describe, domain: str
) -> None:
    newest = next(version for version in range(1, 200) if not loads(versioned(domain, version + 1)))
    code = "ONNX_IR" if domain == "IR" else "ONNX_OPSET"

    assert describe(versioned(domain, newest)).model_format == "onnx"
    for version in (newest + 1, 10_000):
        with pytest.raises(ModelLoadError, match=rf"\[{code}\].*got {version}, expected at most {newest}, the newest"):
            describe(versioned(domain, version))


def test_operators_of_the_models_own_have_versions_of_their_own(describe: Describe) -> None:
    assert describe(versioned("my.operators", 10_000)).model_format == "onnx"


def test_without_onnxruntime_on_the_driver_the_workers_judge(
    describe: Describe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    assert describe(versioned("", 10_000)).model_format == "onnx"


def test_without_onnx_the_extra_is_named(describe: Describe, monkeypatch: pytest.MonkeyPatch) -> None:
    content = model().SerializeToString()
    monkeypatch.setitem(sys.modules, "onnx", None)

    with pytest.raises(MissingDependencyError, match=r"'onnx'.*pip install 'sparkscore\[onnx\]'"):
        describe(content)


# ------------------------------------------------------------------------------------------------------- external data


def external(location: str, **entries: Any) -> TensorProto:
    weights = numpy_helper.from_array(np.ones((3, 2), np.float32), "w")
    set_external_data(weights, location, **entries)
    weights.ClearField("raw_data")
    return weights


def save(folder: Path, content: ModelProto, data: str = "", size: int = 24) -> ResolvedModel:
    folder.mkdir()
    (folder / "model.onnx").write_bytes(content.SerializeToString())
    if data:
        (folder / data).parent.mkdir(exist_ok=True, parents=True)
        (folder / data).write_bytes(b"\0" * size)
    return resolved(folder)


@pytest.mark.parametrize("location", ["w.bin", "./w.bin", "data/w.bin", "data/../w.bin", "..w.bin"])
def test_external_data_below_the_graph_is_taken_and_not_read(tmp_path: Path, location: str) -> None:
    found = save(tmp_path / "model", model(initializer=[external(location)]), location)

    assert describe_onnx(found).model_format == "onnx"


def test_external_data_that_onnx_writes_is_taken(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones((300, 2), np.float32), "w")
    onnx.save_model(model(initializer=[weights]), tmp_path / "model.onnx", save_as_external_data=True, location="w.bin")

    assert (tmp_path / "w.bin").stat().st_size >= 2400
    assert describe_onnx(resolved(tmp_path)).model_format == "onnx"


@pytest.mark.parametrize(
    ("location", "got"),
    [
        ("../w.bin", "location '../w.bin', expected a path below the graph's folder"),
        ("data/../../w.bin", "location 'data/../../w.bin'"),
        ("/etc/hostname", "location '/etc/hostname'"),
        ("", "location ''"),
        ("absent.bin", "no file 'absent.bin'"),
        (".", "no file '.'"),
    ],
)
def test_external_data_out_of_reach_is_refused(tmp_path: Path, location: str, got: str) -> None:
    (tmp_path / "w.bin").write_bytes(b"\0" * 24)
    found = save(tmp_path / "model", model(initializer=[external(location)]))

    with pytest.raises(ModelLoadError, match=rf"\[ONNX_EXTERNAL_DATA\] tensor 'w' of .*{got}"):
        describe_onnx(found)


@pytest.mark.parametrize(
    ("entries", "size", "needed"),
    [({}, 23, 24), ({"offset": 8}, 31, 32), ({"length": 24}, 23, 24), ({"offset": 4096, "length": 24}, 4119, 4120)],
)
def test_external_data_that_is_too_short_is_refused(
    tmp_path: Path, entries: dict[str, int], size: int, needed: int
) -> None:
    content = model(initializer=[external("w.bin", **entries)])

    assert describe_onnx(save(tmp_path / "whole", content, "w.bin", needed)).model_format == "onnx"
    with pytest.raises(ModelLoadError, match=f"got {size} bytes in 'w.bin', expected at least {needed} bytes"):
        describe_onnx(save(tmp_path / "short", content, "w.bin", size))


def test_external_data_of_packed_types_is_measured_by_its_length(tmp_path: Path) -> None:
    packed = external("w.bin", length=3)
    packed.data_type = TensorProto.INT4

    assert describe_onnx(save(tmp_path / "model", model(initializer=[packed]), "w.bin", 3)).model_format == "onnx"


def with_branch(tensors: Sequence[TensorProto]) -> ModelProto:
    branch = helper.make_graph([], "branch", [], [tensor("z")], initializer=tensors)
    return model(nodes=[helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)])


def with_constant(tensors: Sequence[TensorProto]) -> ModelProto:
    return model(nodes=[helper.make_node("Constant", [], ["y"], value=tensors[0])])


def with_function(tensors: Sequence[TensorProto]) -> ModelProto:
    node = helper.make_node("Constant", [], ["y"], value=tensors[0])
    found = model()
    found.functions.append(helper.make_function("my", "f", [], ["y"], [node], [helper.make_opsetid("", 17)]))
    return found


def with_sparse(tensors: Sequence[TensorProto]) -> ModelProto:
    found = model()
    found.graph.sparse_initializer.add().values.CopyFrom(tensors[0])
    return found


@pytest.mark.parametrize("place", [with_branch, with_constant, with_function, with_sparse])
def test_external_data_is_found_wherever_a_graph_can_have_it(
    tmp_path: Path, place: Callable[[Sequence[TensorProto]], ModelProto]
) -> None:
    assert describe_onnx(save(tmp_path / "inside", place([external("w.bin")]), "w.bin")).model_format == "onnx"
    with pytest.raises(ModelLoadError, match=r"\[ONNX_EXTERNAL_DATA\]"):
        describe_onnx(save(tmp_path / "outside", place([external("../w.bin")])))


def test_a_file_alone_with_external_data_beside_it_is_refused(tmp_path: Path) -> None:
    found = save(tmp_path / "model", model(initializer=[external("w.bin")]), "w.bin")

    with pytest.raises(ModelLoadError, match=r"ONNX_EXTERNAL_DATA.*Name the folder in 'model.path': .*/model\."):
        describe_onnx(resolved(found.path / "model.onnx"))
