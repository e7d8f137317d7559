from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.endpoint import Deploy, Endpoint


@pytest.fixture
def deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deploy]:
    # The host's copies of models are this test's own.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    modules, made = set(sys.modules), []

    def make(
        files: dict[str, str],
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        **fields: object,
    ) -> Endpoint:
        given = {"arguments": arguments, "environment": tuple((environment or {}).items())}
        endpoint = Endpoint(tmp_path, files, {**given, **fields})
        made.append(endpoint)
        return endpoint

    yield make
    for endpoint in made:
        endpoint.close()
    own = {name for name, module in sys.modules.items() if str(tmp_path) in str(getattr(module, "__file__", ""))}
    assert own == set(), f"modules of the script stayed: {own - modules}"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Write four input files with one line of numbers each."""
    (tmp_path / "in").mkdir()
    paths = [tmp_path / "in" / f"{name}.csv" for name in "abcd"]
    for number, path in enumerate(paths):
        path.write_text(f"x,y\n{number},{number * 10}\n")
    return paths
