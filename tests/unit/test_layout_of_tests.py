"""Where a unit test is: in the folder of its module, in a file that begins with the module's name."""

from __future__ import annotations

from pathlib import Path

import pytest

import sparkscore

PACKAGE = Path(sparkscore.__file__).parent
UNIT = Path(__file__).parent
# These are about the package, or the tests, as a whole.
OF_THE_WHOLE = {"test_architecture", "test_doctests", "test_layout_of_tests", "test_public_names"}
FOLDERS = sorted({path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")})
FILES = sorted(path.relative_to(UNIT) for path in UNIT.rglob("test_*.py") if path.stem not in OF_THE_WHOLE)


def modules_in(folder: Path) -> set[str]:
    """Return the names that a test file of a folder may begin with: its modules, and the package for `__init__`."""
    return {path.stem.strip("_") for path in (PACKAGE / folder).glob("*.py")} - {"init"} | {folder.name}


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_each_package_has_a_folder_of_tests(folder: Path) -> None:
    assert list((UNIT / folder).glob("test_*.py"))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_each_test_file_begins_with_the_name_of_a_module(file: Path) -> None:
    subject = file.stem.removeprefix("test_")

    assert [name for name in modules_in(file.parent) if name and f"{subject}_".startswith(f"{name}_")]


@pytest.mark.parametrize("module", sorted(modules_in(Path("run")) - {"run"}))
def test_each_module_of_a_run_has_tests_of_its_own(module: str) -> None:
    assert list((UNIT / "run").glob(f"test_{module}*.py"))
