from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparkscore.error_classes import error_class_of
from sparkscore.error_codes import ErrorCode

PACKAGE = Path(__file__).parents[2] / "sparkscore"
#: The packages whose errors become failures on a worker.
WORKERS = ("returned", "scorers", "scripts", "signature", "worker")


def raised_errors() -> Iterator[tuple[str, str]]:
    """Yield each call such as ``ModelError(code=ErrorCode.MODEL_NAME, …)`` as the names of class and code."""
    for file in sorted(path for package in WORKERS for path in (PACKAGE / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Error"):
                codes = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
                yield from ((node.func.id, code.attr) for code in codes if isinstance(code, ast.Attribute))


# Raised while the request is prepared, on the driver.
OF_THE_DRIVER = {("ConfigError", "CODE_TOO_LARGE")}


@pytest.mark.parametrize(("name", "code"), sorted({*raised_errors()} - OF_THE_DRIVER))
def test_a_failure_has_the_class_of_the_error_that_it_describes(name: str, code: str) -> None:
    if code in ErrorCode.__members__:
        assert error_class_of(ErrorCode[code]).__name__ == name


def test_errors_are_found() -> None:
    assert ("OutputContractError", "OUTPUT_ROWS") in {*raised_errors()}
