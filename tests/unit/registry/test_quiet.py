from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

from sparkscore.errors import MissingDependencyError
from sparkscore.registry import quiet_mlflow


def test_mlflow_is_imported_only_where_it_is_used() -> None:
    modules = "sparkscore.registry, sparkscore.models.references, sparkscore.scorers.registered_models"
    code = f"import sys, {modules}\nprint('mlflow' in sys.modules)"

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout == "False\n"


def test_without_mlflow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)

    with pytest.raises(MissingDependencyError, match=r"sparkscore\[mlflow\]"), quiet_mlflow():
        pass


def test_settings_and_loggers_are_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "9")
    monkeypatch.setattr(logging.getLogger("mlflow"), "level", logging.INFO)

    with quiet_mlflow():
        inside = os.environ["MLFLOW_DISABLE_TELEMETRY"], os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]
        level = logging.getLogger("mlflow").level

    assert (inside, level) == (("true", "9"), logging.CRITICAL)
    assert "MLFLOW_DISABLE_TELEMETRY" not in os.environ
    assert logging.getLogger("mlflow").level == logging.INFO
