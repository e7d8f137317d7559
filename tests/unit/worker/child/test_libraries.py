"""Which modules count as libraries, in this process."""

from __future__ import annotations

import sys
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

import PIL.Image
import pytest
import yaml

from sparkscore.worker.child import libraries
from sparkscore.worker.child.libraries import has_libraries, import_libraries, imported_libraries, is_shadowed
from sparkscore.worker.child.messages import Library


@pytest.fixture
def preloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries._preloaded, "tops", frozenset({"yaml"}))
    monkeypatch.setattr(libraries._preloaded, "path", ("/a", "/b"))


def test_only_well_known_libraries_are_reported() -> None:
    found = dict(imported_libraries())

    assert found["PIL.Image"] == PIL.Image.__file__
    assert yaml.__name__ not in found
    assert not [name for name in found if name.split(".")[-1].startswith("_")]


def test_a_child_reports_what_its_template_has_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "_preloaded", libraries._Preloaded())
    monkeypatch.setattr("gc.freeze", lambda: None)
    found = imported_libraries()
    import_libraries(found[:1], sys.path)
    assert imported_libraries() == ()

    # Another module of the library is imported in the child.
    module = ModuleType("PIL.own")
    module.__spec__ = spec_from_file_location("PIL.own", "/own.py")
    monkeypatch.setitem(sys.modules, "PIL.own", module)
    assert imported_libraries() == (("PIL.own", "/own.py"),)

    import_libraries([found[0], Library("PIL", "")], sys.path)  # no child has told where PIL is
    assert imported_libraries() == (*found, ("PIL.own", "/own.py"))


@pytest.mark.usefixtures("preloaded")
def test_a_module_in_a_folder_that_was_added_takes_the_place_of_a_library(tmp_path: Path) -> None:
    path = ["/a", "/b", str(tmp_path)]
    (tmp_path / "yaml").mkdir()

    assert has_libraries()
    assert not is_shadowed(path)  # a folder without code
    (tmp_path / "yaml" / "__init__.py").touch()
    sys.path_importer_cache.clear()
    assert is_shadowed(path)


@pytest.mark.usefixtures("preloaded")
@pytest.mark.parametrize("path", [["/b", "/a"], ["/a"], []])
def test_another_order_of_the_import_path_may_find_other_modules(path: list[str]) -> None:
    assert is_shadowed(path)


def test_without_libraries_nothing_is_shadowed() -> None:
    assert not has_libraries()
    assert not is_shadowed([])
