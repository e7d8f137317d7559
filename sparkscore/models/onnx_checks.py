"""Check the versions and the external data of an ONNX model before workers load it. Runs on the driver."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelLoadError
from sparkscore.scorers.onnx import accepts_graph

if TYPE_CHECKING:  # the package is optional, and slow to import
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

# Versions that every supported ONNX Runtime can load. A test graph uses them for everything but the version under test.
_PLAIN_IR: Final = 7
_PLAIN_OPSET: Final = 13
_ITEM_BYTES: Final = {
    "FLOAT": 4, "DOUBLE": 8, "FLOAT16": 2, "BFLOAT16": 2, "BOOL": 1,
    "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8,
}  # fmt: skip


def check_versions(proto: ModelProto, file: Path) -> None:
    """Check that the installed ONNX Runtime supports a model's IR version and opsets.

    Each version is tested by loading a graph that has this version and a single node. If ONNX Runtime is not installed,
    nothing is checked.

    Args:
        proto: the model.
        file: the model's file, for messages.

    Raises:
        ModelLoadError: the model's IR version (code ``ONNX_IR``) or one of its opsets (code ``ONNX_OPSET``) is not
            supported.
    """
    _check_version(
        ErrorCode.ONNX_IR, f"IR version of model '{file}'", proto.ir_version, lambda ir: _tiny_graph("", 0, ir)
    )
    for opset in proto.opset_import:
        domain = opset.domain or "ai.onnx"
        _check_version(
            ErrorCode.ONNX_OPSET, f"opset '{domain}' of model '{file}'", opset.version, _graph_of_domain(domain)
        )


def _graph_of_domain(domain: str) -> Callable[[int], bytes]:
    return lambda version: _tiny_graph(domain, version, _PLAIN_IR)


def _check_version(code: ErrorCode, what: str, version: int, make_graph: Callable[[int], bytes]) -> None:
    if accepts_graph(make_graph(version)):
        return
    newest = bisect_left(range(1, version), 1, key=lambda older: int(not accepts_graph(make_graph(older))))
    raise ModelLoadError(
        code=code,
        what=what,
        got=str(version),
        expected=f"at most {newest}, the newest that the installed ONNX Runtime supports",
        next_step="Install a newer onnxruntime here and on the workers, or export the model for an older version.",
    )


def _tiny_graph(domain: str, opset: int, ir_version: int) -> bytes:
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "tiny", values[:1], values[1:])
    versions = {"ai.onnx": _PLAIN_OPSET} | ({domain: opset} if domain else {})
    imports = [helper.make_opsetid("" if name == "ai.onnx" else name, number) for name, number in versions.items()]
    model: ModelProto = helper.make_model(graph, opset_imports=imports, ir_version=ir_version)
    return bytes(model.SerializeToString())


def check_external_data(proto: ModelProto, file: Path, folder: Path | None) -> None:
    """Check that a model's external data files exist, are large enough, and are in the graph's folder or below it.

    ONNX Runtime does not open external data outside this folder.

    Args:
        proto: the model.
        file: the model's file.
        folder: the model's folder, or None if the model is a single file.

    Raises:
        ModelLoadError: the model is a single file but has external data, or an external data file is missing, is too
            short, or is outside the graph's folder. The code is ``ONNX_EXTERNAL_DATA``.
    """
    from onnx import TensorProto

    for tensor in _tensors(proto):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        if folder is None:
            raise _out_of_reach(
                file,
                tensor.name,
                got="external data beside the file, which is not copied to the workers with it",
                expected="a folder that holds both",
                next_step=f"Name the folder in 'model.path': {file.parent}.",
            )
        _check_tensor(tensor, file)


def _check_tensor(tensor: TensorProto, file: Path) -> None:
    # The values are passed to str(), because protobuf returns bytes for a string that is not valid UTF-8.
    entries = {str(entry.key): str(entry.value) for entry in tensor.external_data}
    location = entries.get("location", "")
    path = Path(os.path.normpath(location))
    # ONNX Runtime accepts paths in the graph's folder or below it. Links may point to other folders, because they are
    # replaced with files on the workers.
    if not location or path.is_absolute() or ".." in path.parts:
        raise _out_of_reach(file, tensor.name, got=f"location '{location}'", expected="a path below the graph's folder")
    data = file.parent / path
    if not data.is_file():
        raise _out_of_reach(file, tensor.name, got=f"no file '{location}'", expected="that file beside the graph")
    needed, found = _bytes_needed(tensor, entries), data.stat().st_size
    if found < needed:
        raise _out_of_reach(
            file, tensor.name, got=f"{found} bytes in '{location}'", expected=f"at least {needed} bytes"
        )


def _bytes_needed(tensor: TensorProto, entries: dict[str, str]) -> int:
    """Return the minimum size in bytes of an external data file that contains a tensor.

    Args:
        tensor: the tensor.
        entries: the tensor's ``offset`` and ``length`` in the file. A missing or non-numeric value counts as 0.
    """
    offset, length = (int(entries[key]) if entries.get(key, "").isdecimal() else 0 for key in ("offset", "length"))
    return offset + max(length, _size_bytes(tensor))


def _size_bytes(tensor: TensorProto) -> int:
    """Return the size in bytes of a tensor's values, or 0 if the size of its element type is not known."""
    from onnx import TensorProto

    item_bytes = {TensorProto.DataType.Value(name): size for name, size in _ITEM_BYTES.items()}
    return int(prod(tensor.dims)) * item_bytes.get(tensor.data_type, 0)


def _tensors(proto: ModelProto) -> Iterator[TensorProto]:
    yield from _tensors_of_graph(proto.graph)
    for function in proto.functions:
        yield from _tensors_of_nodes(function.node)


def _tensors_of_graph(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _tensors_of_nodes(graph.node)


def _tensors_of_nodes(nodes: Iterable[NodeProto]) -> Iterator[TensorProto]:
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        # The branches of an If and the body of a Loop are graphs inside an attribute.
        for graph in (attribute.g, *attribute.graphs):
            yield from _tensors_of_graph(graph)


def _out_of_reach(
    file: Path,
    tensor: str,
    *,
    got: str,
    expected: str,
    next_step: str = "Put the data beside the graph: onnx.save_model(model, PATH, save_as_external_data=True).",
) -> ModelLoadError:
    return ModelLoadError(
        code=ErrorCode.ONNX_EXTERNAL_DATA,
        what=f"tensor '{tensor}' of model '{file}'",
        got=got,
        expected=expected,
        next_step=next_step,
    )
