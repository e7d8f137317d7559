"""`sparkscore models show`: print the description of a model. Runs on the driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sparkscore.cli.reply import OK, print_json, shown_path, stdout_for_results, to_stdout
from sparkscore.models.show import show_model as describe


def show_model(reference: str, framework: str | None, *, as_json: bool) -> int:
    """Print a model's files, digest, signature and requirements, without running the model's code.

    Args:
        reference: path or MLflow URI of the model.
        framework: library that saved a plain model file. Not needed if the file name shows the library, or for other
            model formats.
        as_json: whether to print a JSON object instead of text.

    Returns:
        the exit code 0.

    Raises:
        ModelError: the model does not exist, its files cannot be read, or it cannot be used without a script.
        ConfigError: the reference or the framework is an empty string, or only Azure can resolve the reference.
        MissingDependencyError: a package for finding or reading the model is not installed.
    """
    with stdout_for_results():
        answer = describe(reference, framework=framework)
    if as_json:
        print_json(answer)
    else:
        for line in _lines(answer):
            to_stdout(line)
    return OK


def _lines(answer: Mapping[str, Any]) -> Iterator[str]:
    yield f"{answer['name']} {answer['version']}"
    yield from _block("reference", [answer["uri"] or shown_path(answer["path"])])
    yield from _block("type", [", ".join(dict.fromkeys([answer["kind"], *answer["flavors"]]))])
    yield from _block("sha256", [answer["sha256"]])
    yield from _block("inputs", _signature_lines(answer["inputs"], answer["signature_advice"]))
    yield from _block("outputs", _signature_lines(answer["outputs"], None))
    yield from _block("params", [f"{name} = {value!r}" for name, value in (answer["params"] or {}).items()])
    yield from _block("runs code", ["yes: outside a registry, set 'trust: code'" if answer["runs_code"] else "no"])
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
