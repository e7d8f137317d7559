from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import sparkscore

PACKAGE = Path(sparkscore.__file__).parent
WITH_EXAMPLES = sorted(path for path in PACKAGE.rglob("*.py") if ">>>" in path.read_text(encoding="utf-8"))


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=module_of)
def test_the_examples_of_docstrings_give_what_they_show(path: Path) -> None:
    results = doctest.testmod(importlib.import_module(module_of(path)))

    assert results.failed == 0
    # Text with '>>>' that doctest does not find would be an example that nobody runs.
    assert results.attempted > 0
