"""An input file is replaced under its old size and time, while a run reads it or between two attempts at a run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import sparkscore
from sparkscore.stage.local_store import LocalStore
from tests.support.ledger import read_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeDeployment = Callable[..., Path]
SUMS = "def run(frame): return frame['x'].tolist()"


def swap(path: Path, old: str, new: str) -> None:
    """Replace contents under the same size and time of modification."""
    before = path.stat()
    path.write_text(path.read_text().replace(old, new))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize(("touched", "is_refused"), [("swap", True), ("chmod", False)])
def test_only_other_contents_end_a_run(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, touched: str, *, is_refused: bool
) -> None:
    path = tmp_path / "in" / "a.csv"
    path.parent.mkdir()
    path.write_text("x\n" + "1\n" * 20)
    swapping = f"""
    import os
    def run(frame):
        path, now = {str(path)!r}, os.stat({str(path)!r})
        if {touched!r} == "chmod":
            os.chmod(path, 0o600)
        else:
            text = open(path).read()
            open(path, "w").write(text.replace("1", "9"))
            os.utime(path, ns=(now.st_atime_ns, now.st_mtime_ns))
        return frame["x"].tolist()
    """
    options: dict[str, Any] = {"input": path.parent, "output": tmp_path / "out", "output_format": "parquet"}
    deployment = make_deployment(swapping)

    if not is_refused:
        sparkscore.score(spark, deployment, **options)
        assert read_table(tmp_path / "out").num_rows == 20
        return
    with pytest.raises(sparkscore.SparkscoreError, match=r"\[INPUT_CHANGED\].*a\.csv"):
        sparkscore.score(spark, deployment, **options)
    assert not list((tmp_path / "out").glob("run_id=*"))


def test_a_run_is_not_taken_up_with_other_contents(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in" / "a.csv"
    path.parent.mkdir()
    path.write_text("x\n" + "1\n" * 20)
    options: dict[str, Any] = {
        "input": path.parent, "output": tmp_path / "out", "output_format": "parquet", "run_id": "night",
    }  # fmt: skip
    deployment = make_deployment(SUMS, isolation="none")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(LocalStore, "link", full)
        with pytest.raises(sparkscore.SparkscoreError, match="PUBLISH_FAILED"):
            sparkscore.score(spark, deployment, **options)
    swap(path, "1", "9")

    with pytest.raises(sparkscore.SparkscoreError, match=r"\[RUN_ID_USED\].*input"):
        sparkscore.score(spark, deployment, **options)
    swap(path, "9", "1")
    path.chmod(0o600)

    assert sparkscore.score(spark, deployment, **options).record["state"] == "COMPLETE"
    assert set(read_table(tmp_path / "out")["prediction"].to_pylist()) == {1}
