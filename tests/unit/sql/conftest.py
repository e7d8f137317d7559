from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparkscore.sql import SqlFunction, prepare_function

Make = Callable[..., SqlFunction]
SCRIPT = "def run(frame): return [1.0] * len(frame)"


@pytest.fixture
def make(make_deployment: Callable[..., Path]) -> Make:
    """Return a function that prepares the SQL function of a deployment with a scoring script."""

    def make(called: str | None = "f", *, settings: Any = None, **sections: Any) -> SqlFunction:
        declared = {"input": {"schema": "age double, bmi double"}, "output": {"schema": "risk double"}}
        return prepare_function(called, make_deployment(SCRIPT, **{**declared, **sections}), settings)

    return make
