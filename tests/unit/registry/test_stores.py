from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sparkscore.registry import is_absolute_store, is_local_store, stores_for_workers


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mlflow", raising=False)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)


def test_relative_addresses_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "stores/registry")

    assert stores_for_workers() == (f"sqlite:///{tmp_path}/mlflow.db", f"{tmp_path}/stores/registry")


def test_without_variables_and_without_mlflow_the_addresses_are_unknown() -> None:
    assert stores_for_workers() == ("", "")


def test_what_the_drivers_code_has_set_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    set_by_code = SimpleNamespace(
        get_tracking_uri=lambda: "http://127.0.0.1:5000", get_registry_uri=lambda: "databricks"
    )
    monkeypatch.setitem(sys.modules, "mlflow", set_by_code)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")

    assert stores_for_workers() == ("http://127.0.0.1:5000", "databricks")


@pytest.mark.parametrize(
    ("uri", "is_local", "is_absolute"),
    [
        ("sqlite:////data/mlflow.db", True, True),
        ("sqlite:///mlflow.db", True, False),
        ("/data/mlruns", True, True),
        ("mlruns", False, False),
        ("http://127.0.0.1:5000", False, True),
        ("databricks", False, True),
        ("", False, False),
    ],
)
def test_addresses_are_local_and_absolute_or_not(uri: str, is_local: bool, is_absolute: bool) -> None:  # noqa: FBT001
    assert (is_local_store(uri), is_absolute_store(uri)) == (is_local, is_absolute)
