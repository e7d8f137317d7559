"""What `sparkscore` offers to Python: few names, and all that the command line can do about runs and models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sparkscore

PACKAGE = Path(sparkscore.__file__).parent


@pytest.mark.parametrize("name", sparkscore.__all__)
def test_every_public_name_is_there_and_says_what_it_does(name: str) -> None:
    assert name == "__version__" or getattr(sparkscore, name).__doc__


def test_there_are_few_of_them() -> None:
    assert len(sparkscore.__all__) <= 15


def test_the_product_never_changes_the_working_directory_but_for_a_script() -> None:
    found = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if "chdir(" in path.read_text()}

    assert found == {"scripts/surroundings.py"}


def test_the_command_line_knows_no_stage_no_lock_and_no_sink() -> None:
    imported = re.compile(r"^from sparkscore\.(sinks|stage|sources)\b", re.MULTILINE)
    found = {path.name for path in (PACKAGE / "cli").glob("*.py") if imported.search(path.read_text())}

    # The demo removes images of its own, which belong to no run, by the same rule.
    assert found <= {"demo_data.py"}
