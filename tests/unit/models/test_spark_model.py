"""Tests of the scoring with pipelines of ``pyspark.ml``."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, ModelLoadError
from sparkscore.models import spark_model

ROWS: Any = SimpleNamespace(sparkSession=None)


def test_a_setting_that_cannot_be_pinned_is_no_fault_of_the_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(_: object) -> None:
        raise ConfigError(code=ErrorCode.SESSION_SETTING, what="a setting", next_step="Change it.")

    monkeypatch.setattr(spark_model, "pinned_settings", refuse)

    with pytest.raises(ConfigError, match="SESSION_SETTING"):
        spark_model.transform(ROWS, tmp_path)


def test_a_damaged_model_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spark_model, "pinned_settings", nullcontext)
    (tmp_path / "MLmodel").write_text("flavors: {}\n")

    with pytest.raises(ModelLoadError, match="got KeyError"):
        spark_model.transform(ROWS, tmp_path)
