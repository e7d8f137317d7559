"""What `sparkscore` offers to Python: few names, and all that the command line can do about runs and models."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import sparkscore

PACKAGE = Path(sparkscore.__file__).parent


@pytest.mark.parametrize("name", sparkscore.__all__)
def test_every_public_name_is_there_and_says_what_it_does(name: str) -> None:
    assert name == "__version__" or getattr(sparkscore, name).__doc__


WITHOUT_PYSPARK = """
import sys
class Without:
    def find_spec(self, name, *_):
        if name.split(".")[0] == "pyspark":
            raise ModuleNotFoundError(f"No module named 'pyspark'", name="pyspark")
sys.meta_path.insert(0, Without())
import sparkscore
for name in ("score", "resume", "publish", "register_function", "Run"):
    try:
        getattr(sparkscore, name)
    except ImportError as error:
        print(name, error)
"""


def test_without_pyspark_a_name_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYSPARK], capture_output=True, text=True, check=True, timeout=60
    )

    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        [name, "[PYSPARK_MISSING]"] for name in ("score", "resume", "publish", "register_function", "Run")
    ]
    assert all("Run: pip install 'sparkscore[local]'" in line for line in lines)


def test_a_name_whose_module_is_broken_fails_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> object:
        raise ModuleNotFoundError("No module named 'sparkscore.gone'", name="sparkscore.gone")

    monkeypatch.setattr(sparkscore, "_import_public_name", broken)

    with pytest.raises(ModuleNotFoundError, match=r"sparkscore\.gone") as caught:
        sparkscore.score  # noqa: B018 - the access is what fails
    assert caught.value.name == "sparkscore.gone"


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
