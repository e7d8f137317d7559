from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path

import sparkscore
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError

PACKAGE = Path(sparkscore.__file__).parent
REGISTRY = PACKAGE / "error_codes"
SOURCES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}


def used() -> set[str]:
    """Return the members that any module outside the registry names."""
    return {
        node.attr
        for path, tree in SOURCES.items()
        if REGISTRY not in path.parents
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ErrorCode"
        if not node.attr.startswith("__")
    }


def codes_in_texts() -> set[str]:
    """Return the texts that stand where a code goes: the argument `code`, and `[CODE]` at the start of a text."""
    found = set()
    for path, tree in SOURCES.items():
        if REGISTRY in path.parents:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "code":
                inner = [part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant)]
                found |= {text for text in inner if isinstance(text, str) and text.isupper()}
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= set(re.findall(r"^\[([A-Z][A-Z_]{3,})\] ", node.value))
    return found


def test_every_code_is_used_and_every_used_code_is_registered() -> None:
    assert used() == set(ErrorCode.__members__)


def test_no_code_is_written_as_a_text() -> None:
    # An exception that crosses Spark, or an expression that Spark evaluates, has its code in its text.
    assert codes_in_texts() <= {"INPUT_VALUE", "INTERNAL"}


def test_a_code_is_the_text_of_its_name() -> None:
    error = ConfigError(code=ErrorCode.USAGE, what="it", next_step="Do that.")

    assert error.code == "USAGE"
    assert f"{error.code}" == str(error.code) == "USAGE"
    assert {"USAGE": 1}[error.code] == 1
    assert pickle.loads(pickle.dumps(error)).code is ErrorCode.USAGE  # noqa: S301 - written one call before


def test_names_and_values_are_the_same() -> None:
    assert all(code.name == code.value for code in ErrorCode)
