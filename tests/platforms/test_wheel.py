"""The wheel: what it holds, and that its extras, installed from the package index, are enough to run the example."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import deltalake
import pytest

ROOT = Path(__file__).parents[2]
# Installing packages from a network may take minutes.
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of what it is made of, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "sparkscore", folder / "sparkscore", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "support", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", "dist"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "."], check=True, cwd=folder)
    (built,) = (folder / "dist").glob("*.whl")
    return built


def test_the_wheel_holds_the_package_with_its_templates_and_no_tests(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())

    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "sparkscore").rglob("*") if path.is_file()}
    expected = {name for name in ours if "__pycache__" not in name}
    assert {"sparkscore/py.typed", "sparkscore/cli/templates/score.py.txt"} <= expected
    assert {name for name in held if ".dist-info/" not in name} == expected


def installed(wheel: Path, extra: str, folder: Path) -> Path:
    """Install the wheel with one extra into a new environment, and return the folder of its programs."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, f"{wheel}[{extra}]"], check=True)
    return python.parent


def test_the_extra_local_alone_runs_the_example(wheel: Path, tmp_path: Path) -> None:
    programs = installed(wheel, "local", tmp_path / "env")

    for arguments in (["new", "x"], ["run", "x/deployment.yml"]):
        ended = subprocess.run(
            [programs / "sparkscore", *arguments], capture_output=True, text=True, cwd=tmp_path, check=False
        )
        assert ended.returncode == 0, ended.stderr

    assert "12 rows: 12 scored, 0 failed" in ended.stdout
    assert deltalake.DeltaTable(tmp_path / "x" / "predictions").to_pyarrow_table().num_rows == 12


def test_the_extra_connect_has_a_client_without_java_or_py4j(wheel: Path, tmp_path: Path) -> None:
    programs = installed(wheel, "connect", tmp_path / "env")
    # A file, since PySpark takes a process of `python -c` for its own doctests.
    (tmp_path / "client.py").write_text(
        "import importlib.util, sparkscore\n"
        "from pyspark.sql import SparkSession\n"
        "SparkSession.builder.remote('sc://localhost')\n"
        "print(importlib.util.find_spec('py4j'), sparkscore.score.__name__)\n"
    )

    ended = subprocess.run(
        [programs / "python", "client.py"], capture_output=True, text=True, cwd=tmp_path, check=False
    )

    assert (ended.returncode, ended.stdout) == (0, "None score\n"), ended.stderr
