"""The archive with sparkscore, as a Python that has no sparkscore or another one imports it."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from sparkscore.spark.package_zip import pack_package

# As PySpark's worker does: its `add_path` puts what is sent before what is installed.
IMPORT = """
import importlib, importlib.metadata, json, sys
from pyspark.worker_util import add_path
add_path(sys.argv[1])
importlib.invalidate_caches()
import sparkscore, sparkscore.worker.loop
loaded = sparkscore.worker.loop
print(json.dumps([sparkscore.__file__, loaded.__file__, loaded.score_task.__code__.co_filename,
                  importlib.metadata.version("sparkscore")]))
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_package(tmp_path_factory.mktemp("packed"))


def imported(archive: Path, installed: Path | None = None) -> list[Any]:
    command = [sys.executable, "-c", IMPORT, str(archive)]
    environment = {"PYTHONPATH": str(installed or ""), "PYTHONSAFEPATH": ""}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=archive.parent, check=False)
    assert ended.returncode == 0, ended.stderr
    return list(json.loads(ended.stdout))


def test_equal_modules_give_an_equal_archive_of_the_same_name(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    again = pack_package(tmp_path / "again")

    assert again.name == archive.name
    assert again.read_bytes() == archive.read_bytes()


def test_the_archive_has_modules_with_their_bytecode_and_nothing_else(archive: Path) -> None:
    names = zipfile.ZipFile(archive).namelist()
    modules = {name for name in names if name.endswith(".py")}

    assert {"sparkscore/__init__.py", "sparkscore/worker/loop.py"} <= modules
    assert {name for name in names if name.endswith(".pyc")} == {f"{name}c" for name in modules}
    assert [name for name in names if not name.endswith((".py", ".pyc"))] == ["sparkscore-0.1.0.dist-info/METADATA"]


def test_the_bytecode_is_used_and_the_version_is_known(archive: Path) -> None:
    package, module, shown, version = imported(archive)

    assert package == f"{archive}/sparkscore/__init__.pyc"
    assert module == f"{archive}/sparkscore/worker/loop.pyc"
    assert shown == "sparkscore/worker/loop.py"
    assert version == "0.1.0"


def test_another_version_that_the_workers_have_does_not_count(archive: Path, tmp_path: Path) -> None:
    old = tmp_path / "installed" / "sparkscore"
    old.mkdir(parents=True)
    (old / "__init__.py").write_text("raise RuntimeError('the old one')")

    assert imported(archive, old.parent)[0].startswith(str(archive))


def test_another_version_of_python_uses_the_source(archive: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(other, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, b"\0\0\r\n" + content[4:] if name.endswith(".pyc") else content)

    package, module, *_ = imported(other)

    assert package == f"{other}/sparkscore/__init__.py"
    assert module == f"{other}/sparkscore/worker/loop.py"


def test_an_archive_is_packed_from_an_archive(archive: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from sparkscore.spark.package_zip import pack_package\n"
        "print(pack_package(Path(sys.argv[2])).name)"
    )
    (tmp_path / "again").mkdir()

    command = [sys.executable, "-c", code, str(archive), str(tmp_path / "again")]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    assert ended.stdout.strip() == archive.name, ended.stderr
