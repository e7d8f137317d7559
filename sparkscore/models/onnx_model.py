"""Describe an ONNX graph's inputs and outputs without running it. Runs on the driver.

Outputs become columns of the result by these rules:

- If only one output has a value for each row, its column is named ``prediction``. Otherwise, columns are named after
  their outputs.
- A tensor of shape (N,) or (N, 1) becomes a column of scalars. For other tensors, each dimension after the first adds a
  level of arrays.
- A sequence becomes a column in which each row has one element of the sequence. Maps in a sequence, for example from
  the ZipMap operator, become Arrow maps.
- Types that Spark does not have are widened: float16 to float, and unsigned integers to the smallest signed integer or
  decimal that holds all their values. Other types are kept.
- Outputs without a value for each row are left out: maps, scalars, and tensors whose first dimension has a fixed size,
  unless this size is the number of rows that the graph takes at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from sparkscore.digest import files_of_model
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import MissingDependencyError, ModelError, ModelLoadError, ModelNotFoundError, names
from sparkscore.models.model_description import ModelDescription
from sparkscore.models.onnx_checks import check_external_data, check_versions
from sparkscore.models.resolve import ResolvedModel
from sparkscore.returned.shapes import PREDICTION
from sparkscore.signature.model_signature import ModelSignature, TensorInput

if TYPE_CHECKING:  # the package is optional, and slow to import
    from onnx import GraphProto, ModelProto, TensorShapeProto, TypeProto, ValueInfoProto

_SUFFIX: Final = ".onnx"
_FREE: Final = -1
_INPUT_TYPES: Final = {
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "FLOAT16": pa.float16(),
    "INT8": pa.int8(),
    "INT16": pa.int16(),
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "UINT8": pa.uint8(),
    "UINT16": pa.uint16(),
    "UINT32": pa.uint32(),
    "UINT64": pa.uint64(),
    "BOOL": pa.bool_(),
    "STRING": pa.string(),
}
#: Types that Spark does not have. Each becomes the smallest Spark type that holds all its values.
_WIDENED: Final = {
    pa.float16(): pa.float32(),
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
}


def describe_onnx(model: ResolvedModel) -> ModelDescription:
    """Describe an ONNX model, and check that the installed ONNX Runtime supports its IR and opset versions.

    External data is not read: only the existence and size of its files are checked. If ONNX Runtime is not installed on
    the driver, the versions are not checked here.

    Raises:
        ModelLoadError: the file is not an ONNX graph (``ONNX_BROKEN``), a version is not supported (``ONNX_IR``,
            ``ONNX_OPSET``), external data cannot be used (``ONNX_EXTERNAL_DATA``), or an input or output is not
            supported (``ONNX_INPUT``, ``ONNX_OUTPUT``).
        ModelError: the model is a folder that does not have exactly one ``.onnx`` file.
        MissingDependencyError: the package ``onnx`` is not installed.
    """
    file = model.path / graph_file(model.path)
    proto = _read(file)
    check_versions(proto, file)
    check_external_data(proto, file, folder=model.path if model.path.is_dir() else None)
    inputs = _inputs(proto.graph)
    columns = _columns(proto.graph, _batch_size(inputs))
    types = [(column, type_) for _, column, type_ in columns if type_ is not None]
    # If one type is unknown, the probe finds the types of all columns.
    outputs = pa.schema(types) if len(types) == len(columns) else None
    return ModelDescription("onnx", ("onnx",), ModelSignature(inputs, outputs, params=()))


def graph_outputs(path: Path) -> tuple[tuple[str, str], ...]:
    """Return the name and the column name of each graph output that has a value for each row.

    Args:
        path: path of the model's file or folder.

    Raises:
        ModelError: the folder does not have exactly one ``.onnx`` file, the file is not a valid ONNX graph, or an input
            or output is not supported.
        MissingDependencyError: the package ``onnx`` is not installed.
    """
    graph = _read(path / graph_file(path)).graph
    return tuple((output, column) for output, column, _ in _columns(graph, _batch_size(_inputs(graph))))


def graph_file(path: Path) -> str:
    """Return the path of the ``.onnx`` file relative to the model's folder, or an empty string if the model is a file.

    The ``.onnx`` file may be in a subfolder.

    Raises:
        ModelNotFoundError: the folder has no ``.onnx`` file.
        ModelError: the folder has several ``.onnx`` files.
    """
    if not path.is_dir():
        return ""
    graphs = [file.relative_to(path).as_posix() for file in files_of_model(path) if file.suffix.lower() == _SUFFIX]
    if not graphs:
        raise ModelNotFoundError(
            code=ErrorCode.ONNX_NO_GRAPH,
            what=f"model '{path}'",
            got=f"no {_SUFFIX} file in the folder",
            expected="one",
            next_step="Correct --model, or 'model.path' in the deployment.",
        )
    if len(graphs) > 1:
        raise ModelError(
            code=ErrorCode.ONNX_SEVERAL_GRAPHS,
            what=f"model '{path}'",
            got=f"{len(graphs)} graphs, {names(graphs)}",
            expected="one",
            next_step="Name the file itself in 'model.path', or move a graph with external data to a separate folder.",
        )
    return graphs[0]


def _read(file: Path) -> ModelProto:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise MissingDependencyError(
            code=ErrorCode.MISSING_PACKAGE,
            what="package 'onnx', which reads ONNX models, is not installed",
            next_step="Install it: pip install 'sparkscore[onnx]'.",
        ) from error
    try:
        # Without a format, load_model would choose one by the file extension.
        proto = onnx.load_model(file, format="protobuf", load_external_data=False)
    except DecodeError as error:
        raise _broken(file, "bytes that are not an ONNX graph") from error
    if not (proto.ir_version and proto.opset_import and proto.graph.output):
        raise _broken(file, "a graph without IR version, opset or outputs")
    values = [*proto.graph.input, *proto.graph.output]
    texts = [opset.domain for opset in proto.opset_import] + [value.name for value in values]
    # protobuf returns bytes for a string that is not valid UTF-8.
    if not all(isinstance(text, str) for text in texts):
        raise _broken(file, "names that are not text")
    return proto


def _inputs(graph: GraphProto) -> tuple[TensorInput, ...]:
    """Return the graph inputs that need a value, that is, those without an initializer.

    Raises:
        ModelLoadError: there are no such inputs, or one of them is not a tensor, has an unsupported type, or has no
            dimension for the rows.
    """
    given = {tensor.name for tensor in graph.initializer} | {sparse.values.name for sparse in graph.sparse_initializer}
    inputs = tuple(_input(value) for value in graph.input if value.name not in given)
    if not inputs:
        raise _bad_input("the ONNX graph's inputs", "none", expected="at least one")
    return inputs


def _input(value: ValueInfoProto) -> TensorInput:
    what = f"input '{value.name}' of the ONNX graph"
    tensor = value.type.tensor_type
    if value.type.WhichOneof("value") != "tensor_type":
        found = value.type.WhichOneof("value") or "nothing"
        raise _bad_input(what, found.removesuffix("_type").replace("_", " "), expected="a tensor")
    element = _element_name(tensor.elem_type)
    if element not in _INPUT_TYPES:
        raise _bad_input(what, f"elements of type {element}", expected=names(_INPUT_TYPES))
    if not tensor.HasField("shape"):
        raise _bad_input(what, "a tensor without a number of dimensions in the graph", expected="a shape")
    shape = _sizes(tensor.shape)
    if not shape or shape[0] == 0:
        raise _bad_input(what, f"shape {list(shape)}", expected="a first dimension for the rows")
    return TensorInput(value.name, _INPUT_TYPES[element], shape)


def _sizes(shape: TensorShapeProto) -> tuple[int, ...]:
    """Return the size of each dimension of a tensor, or -1 for a dimension of any size."""
    # A negative size in the graph also means any size, as in ONNX Runtime.
    return tuple(dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else _FREE for dim in shape.dim)


def _batch_size(inputs: Sequence[TensorInput]) -> int:
    """Return the number of rows that a graph takes at once, or -1 if it takes any number.

    Raises:
        ModelLoadError: the inputs' first dimensions have different sizes.
    """
    sizes = {tensor.shape[0]: tensor.name for tensor in inputs if tensor.shape[0] != _FREE}
    if len(sizes) > 1:
        got = ", ".join(f"{size} of '{name}'" for size, name in sizes.items())
        raise _bad_input("the first dimensions of the ONNX graph's inputs", got, expected="one number of rows")
    return next(iter(sizes), _FREE)


def _columns(graph: GraphProto, batch: int) -> list[tuple[str, str, pa.DataType | None]]:
    """Return the name, column name and column type of each graph output that has a value for each row.

    A column type is None if the graph does not define it.

    Args:
        graph: the graph.
        batch: number of rows that the graph takes at once, or -1 for any number.

    Raises:
        ModelLoadError: no output has a value for each row, or the type of such an output is not supported.
    """
    outputs = [output for output in graph.output if _is_per_row(output.type, batch)]
    if not outputs:
        raise ModelLoadError(
            code=ErrorCode.ONNX_OUTPUT,
            what=f"outputs {names(output.name for output in graph.output)} of the ONNX graph",
            got="fixed shapes without a dimension for the rows",
            expected="at least one output with a value per row",
            next_step="Export the model with a free first dimension in its outputs, as in its inputs.",
        )
    return [
        (output.name, PREDICTION if len(outputs) == 1 else output.name, _column_type(output.type, output.name))
        for output in outputs
    ]


def _is_per_row(type_: TypeProto, batch: int) -> bool:
    if type_.WhichOneof("value") == "optional_type":
        return _is_per_row(type_.optional_type.elem_type, batch)
    if type_.WhichOneof("value") == "map_type":
        return False
    if not type_.tensor_type.HasField("shape"):
        return True
    sizes = _sizes(type_.tensor_type.shape)
    return bool(sizes) and sizes[0] in {batch, _FREE}


def _column_type(type_: TypeProto, output: str) -> pa.DataType | None:
    match type_.WhichOneof("value"):
        case "optional_type":
            return _column_type(type_.optional_type.elem_type, output)
        case "tensor_type":
            return _tensor_type(type_, output, per_row=1)
        case "sequence_type":
            return _sequence_type(type_.sequence_type.elem_type, output)
        case None:
            return None
        case other:
            raise _bad_output(output, other.removesuffix("_type").replace("_", " "))


def _sequence_type(element: TypeProto, output: str) -> pa.DataType | None:
    match element.WhichOneof("value"):
        case "tensor_type":
            return _tensor_type(element, output, per_row=0)
        case "map_type":
            keys = _scalar_type(element.map_type.key_type, output)
            return pa.map_(keys, _scalar_type(element.map_type.value_type.tensor_type.elem_type, output))
        case other:
            raise _bad_output(output, f"a sequence of {other or 'nothing'}")


def _tensor_type(type_: TypeProto, output: str, *, per_row: int) -> pa.DataType | None:
    """Return the type of the column that a tensor becomes, or None if the graph does not define the tensor's shape.

    Args:
        type_: the type of the tensor.
        output: name of the output, for messages.
        per_row: 1 if the tensor's first dimension is the number of rows, or 0 if each row has its own tensor.

    Raises:
        ModelLoadError: the type of the tensor's elements is not supported.
    """
    column = _scalar_type(type_.tensor_type.elem_type, output)
    if not type_.tensor_type.HasField("shape"):
        return None
    inner = _sizes(type_.tensor_type.shape)[per_row:]
    if per_row and inner == (1,):
        return column
    for _ in inner:
        column = pa.list_(pa.field("element", column))
    return column


def _scalar_type(element: int, output: str) -> pa.DataType:
    name = _element_name(element)
    if name not in _INPUT_TYPES:
        raise _bad_output(output, f"elements of type {name}")
    type_ = _INPUT_TYPES[name]
    return _WIDENED.get(type_, type_)


def _element_name(element: int) -> str:
    from onnx import TensorProto

    known = TensorProto.DataType.values()
    return TensorProto.DataType.Name(element) if element in known else f"number {element}"


def _broken(file: Path, got: str) -> ModelLoadError:
    return ModelLoadError(
        code=ErrorCode.ONNX_BROKEN,
        what=f"model '{file}'",
        got=got,
        expected="an ONNX model",
        next_step="Export or copy the model again.",
    )


def _bad_input(what: str, got: str, *, expected: str) -> ModelLoadError:
    return ModelLoadError(
        code=ErrorCode.ONNX_INPUT,
        what=what,
        got=got,
        expected=expected,
        next_step="Export the model with inputs that are tensors of the rows, or score it in a script.",
    )


def _bad_output(output: str, got: str) -> ModelLoadError:
    return ModelLoadError(
        code=ErrorCode.ONNX_OUTPUT,
        what=f"output '{output}' of the ONNX graph",
        got=got,
        expected=f"a tensor, or a sequence of tensors or maps, of {names(_INPUT_TYPES)}",
        next_step="Cast or remove the output in the graph, or score the model in a script.",
    )
