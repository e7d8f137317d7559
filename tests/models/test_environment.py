"""The packages that score are those of the workers, or of the interpreter that the deployment names."""

from __future__ import annotations

import sys
import sysconfig
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sparkscore

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeDeployment = Callable[..., Path]
SCRIPT = "import sys, only_there\ndef run(frame): return [f'{only_there.ANSWER} {sys.prefix}'] * len(frame)"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    pq.write_table(pa.table({"id": range(5)}), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Make a folder of packages: one that is only there, and by reference all that these tests run with."""
    folder = tmp_path / "env" / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    folder.mkdir(parents=True)
    (folder / "only_there.py").write_text("ANSWER = 42\n")
    (folder / "these.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    (tmp_path / "env" / "pyvenv.cfg").write_text("home = /nowhere\n")
    return tmp_path / "env"


def test_an_archive_is_unpacked_on_the_workers_and_scores(
    spark: SparkSession, tmp_path: Path, rows: Path, packages: Path, make_deployment: MakeDeployment
) -> None:
    with tarfile.open(tmp_path / "env.tar.gz", "w:gz") as packed:
        packed.add(packages, ".")
    deployment = make_deployment(SCRIPT, python={"archive": str(tmp_path / "env.tar.gz")}, isolation="none")

    run = sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    (told,) = {row["prediction"] for row in run.predictions().collect()}
    assert told.startswith("42 ")
    assert sys.prefix not in told


def test_an_interpreter_of_the_workers_hosts_scores(
    spark: SparkSession, tmp_path: Path, rows: Path, packages: Path, make_deployment: MakeDeployment
) -> None:
    base = Path(sys.base_prefix) / "bin"
    (packages / "pyvenv.cfg").write_text(f"home = {base}\n")
    (packages / "bin").mkdir()
    (packages / "bin" / "python").symlink_to(base / f"python{sys.version_info.major}.{sys.version_info.minor}")
    deployment = make_deployment(SCRIPT, python={"path": str(packages / "bin" / "python")})

    run = sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    assert {row["prediction"] for row in run.predictions().collect()} == {f"42 {packages}"}


def test_an_interpreter_that_is_not_there_is_told(
    spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment
) -> None:
    deployment = make_deployment(SCRIPT, python={"path": "/nowhere/bin/python"})

    with pytest.raises(sparkscore.SparkscoreError, match="PYTHON_NOT_FOUND") as caught:
        sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    assert "/nowhere/bin/python" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_packages_that_differ_are_warned_of_once_and_recorded(
    spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "req.txt").write_text("pandas>=1\nnumpy==0.9\n")
    deployment = make_deployment(
        "def run(frame): return [1] * len(frame)", python={"requirements": str(tmp_path / "req.txt")}
    )

    run = sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    (warning,) = run.record["warnings"]
    assert warning.startswith("the workers differ from 'req.txt': numpy ")
    assert warning.endswith(" instead of ==0.9")
    assert [record.getMessage() for record in caplog.records].count(warning) == 1


def test_packages_that_differ_are_refused_where_the_deployment_is_strict(
    spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment
) -> None:
    (tmp_path / "req.txt").write_text("numpy==0.9\n")
    deployment = make_deployment(
        "def run(frame): return [1] * len(frame)",
        python={"requirements": str(tmp_path / "req.txt"), "check": "strict"},
    )

    with pytest.raises(sparkscore.SparkscoreError, match="ENVIRONMENT_MISMATCH") as caught:
        sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    assert "instead of ==0.9" in str(caught.value)
    assert not (tmp_path / "out").exists()
