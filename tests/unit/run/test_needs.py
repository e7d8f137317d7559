from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sparkscore.config import Deployment
from sparkscore.run.needs import may_need_delta


def prepared(*, failed: object = None, **sections: Any) -> Any:
    return SimpleNamespace(deployment=Deployment.model_validate(sections), failed=failed)


PARQUET = {"location": "/out", "format": "parquet"}


@pytest.mark.parametrize("kind", ["files", "parquet", "csv", "json"])
def test_files_and_parquet_need_no_delta(kind: str) -> None:
    assert not may_need_delta(prepared(input={"location": "in", "format": kind}, output=PARQUET))


def test_a_folder_without_a_delta_log_needs_none(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()

    assert not may_need_delta(prepared(input={"location": str(tmp_path / "in")}, output=PARQUET))


@pytest.mark.parametrize(
    "sections",
    [
        {"output": {"location": "/out"}},
        {"output": {"location": "/out", "format": "delta"}, "input": {"format": "csv", "location": "in"}},
        {"output": PARQUET, "input": {"format": "delta", "location": "in"}},
        {"output": PARQUET, "input": {"location": "s3://bucket/in"}},
        {"output": PARQUET, "input": {"location": ["in", "abfss://box@store/in"], "format": "parquet"}},
        {"output": PARQUET, "failed": "the failed items of a run"},
    ],
)
def test_what_may_be_a_delta_table_needs_it(sections: dict[str, Any]) -> None:
    assert may_need_delta(prepared(**sections))


def test_a_folder_with_a_delta_log_needs_it(tmp_path: Path) -> None:
    (tmp_path / "in" / "_delta_log").mkdir(parents=True)

    assert may_need_delta(prepared(input={"location": str(tmp_path / "in")}, output=PARQUET))
