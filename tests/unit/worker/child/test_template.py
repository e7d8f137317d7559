from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sparkscore.spark.package_zip import pack_package
from sparkscore.worker.child.template import package_file

# Imports sparkscore from an archive by a path relative to the working directory, as workers of Spark do.
FROM_ARCHIVE = """
import os, sys
sys.path.insert(0, os.path.join(".", sys.argv[1]))
from sparkscore.worker.child.template import package_file
print(package_file())
os.chdir("/")  # as a script may do
print(package_file())
import sparkscore.sources.csv_survey
"""


def test_an_installed_package_is_used_where_it_is() -> None:
    assert Path(package_file()).samefile(Path(__file__).parents[4] / "sparkscore" / "__init__.py")


def test_a_package_in_an_archive_is_unpacked_once_per_host(tmp_path: Path) -> None:
    archive = pack_package(tmp_path)
    command = [sys.executable, "-c", FROM_ARCHIVE, archive.name]
    environment = {**os.environ, "SPARK_LOCAL_DIRS": str(tmp_path)}

    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)

    assert ended.returncode == 0, ended.stderr
    first, second = ended.stdout.split()
    assert first == second
    assert Path(first).is_relative_to(tmp_path / f"sparkscore-models-{os.getuid()}")
    assert (Path(first).parent / "worker" / "child" / "main.py").is_file()
    assert not list(Path(first).parent.rglob("*.pyc"))
