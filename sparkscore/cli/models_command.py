"""`sparkscore models show`: what a model reference leads to, and what the model takes and gives (driver)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from sparkscore.cli.reply import OK, print_json, shown_path, stdout_for_results, to_stdout
from sparkscore.config import load_deployment
from sparkscore.digest import files_of_model
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.models import ModelDescription, ResolvedModel, describe_model, resolve_model
from sparkscore.signature import type_name
from sparkscore.signature.model_signature import ColumnInput, ModelInput


def show_model(reference: str, framework: str | None, *, as_json: bool) -> int:
    """Print what a model is: files, digest, signature, requirements. Nothing of the model is run.

    Returns:
        the exit code.

    Raises:
        ModelError: the reference leads nowhere, or to no model.
    """
    with stdout_for_results():
        section = load_deployment(None, {"model.path": reference, "model.framework": framework}).model
        model = resolve_model(section)
        if section is None or model is None:
            raise ConfigError(
                code=ErrorCode.MODEL_MISSING, what="no model is named", next_step="Name a file or a reference."
            )
        description = describe_model(model, section)
    answer = _answer(model, description)
    if as_json:
        print_json(answer)
    else:
        for line in _lines(answer):
            to_stdout(line)
    return OK


def _answer(model: ResolvedModel, description: ModelDescription) -> dict[str, Any]:
    signature = description.signature
    return {
        **model.describe(),
        "kind": description.kind,
        "flavors": list(description.flavors),
        "runs_code": description.runs_code,
        "inputs": None if signature.inputs is None else [_input(each) for each in signature.inputs],
        "outputs": None if signature.outputs is None else [_column(each) for each in signature.outputs],
        "params": None if signature.params is None else dict(signature.params),
        "signature_advice": description.signature_advice or None,
        "python": description.python_version,
        "requirements": list(description.requirements),
        "files": _files(model.path),
    }


def _input(one: ModelInput) -> dict[str, Any]:
    kind = _kind(one)
    if isinstance(one, ColumnInput):
        return {"name": one.name, "type": kind, "required": one.is_required}
    return {"name": one.name, "type": kind, "shape": list(one.shape)}


def _kind(one: ModelInput) -> str:
    if one.type is not None:
        return type_name(one.type)
    return " or ".join(one.kinds if isinstance(one, ColumnInput) else ()) or "any"


def _column(column: pa.Field) -> dict[str, Any]:
    return {"name": column.name, "type": type_name(column.type)}


def _files(path: Path) -> dict[str, int]:
    if path.is_file():
        return {path.name: path.stat().st_size}
    return {file.relative_to(path).as_posix(): file.stat().st_size for file in sorted(files_of_model(path))}


def _lines(answer: Mapping[str, Any]) -> Iterator[str]:
    yield f"{answer['name']} {answer['version']}"
    yield from _block("reference", [answer["uri"] or shown_path(answer["path"])])
    yield from _block("kind", [", ".join(dict.fromkeys([answer["kind"], *answer["flavors"]]))])
    yield from _block("sha256", [answer["sha256"]])
    yield from _block("inputs", _signature_lines(answer["inputs"], answer["signature_advice"]))
    yield from _block("outputs", _signature_lines(answer["outputs"], None))
    yield from _block("params", [f"{name} = {value!r}" for name, value in (answer["params"] or {}).items()])
    yield from _block("runs code", ["yes: outside a registry it needs 'trust: code'" if answer["runs_code"] else "no"])
    yield from _block("python", [answer["python"]] if answer["python"] else [])
    yield from _block("requirements", answer["requirements"])
    yield from _block("files", [f"{name}  {size:,} bytes" for name, size in answer["files"].items()])


def _block(name: str, lines: list[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"  {'' if number else name:<14}{line}"


def _signature_lines(columns: list[dict[str, Any]] | None, advice: str | None) -> list[str]:
    if columns is None:
        return [f"not known{f': {advice}' if advice else ''}"]
    return [_signature_line(column) for column in columns]


def _signature_line(column: Mapping[str, Any]) -> str:
    shape = f" {column['shape']}" if "shape" in column else ""
    optional = "" if column.get("required", True) else " (optional)"
    return f"{column['name'] or '(no name)'}  {column['type']}{shape}{optional}"
