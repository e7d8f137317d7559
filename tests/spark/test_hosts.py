"""The check of the workers: a job on other masters, and none on a local one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

import sparkscore
from sparkscore.errors import SparkscoreError
from sparkscore.run import hosts

MakeDeployment = Callable[..., Path]
SCRIPT = "def run(files): return [len(open(each).read()) for each in files]"


def jobs(spark: SparkSession) -> int:
    """Return how many jobs a session has run. Spark forgets old jobs, but their numbers are not used again."""
    return max(spark.sparkContext.statusTracker().getJobIdsForGroup(None), default=-1) + 1


def test_a_local_master_has_no_job_for_the_check_and_another_master_has_one(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.txt").write_text("text")
    deployment = make_deployment(SCRIPT, output={"schema": "length bigint"})

    def jobs_of(output: str) -> int:
        before = jobs(spark)
        run = sparkscore.score(spark, deployment, input=tmp_path / "in", output=tmp_path / output)
        counted = jobs(spark) - before
        assert [row["length"] for row in run.predictions().collect()] == [4]
        assert not (tmp_path / output / "_sparkscore").exists()
        return counted

    with monkeypatch.context() as unchecked:
        unchecked.setattr("sparkscore.run.steps.check_hosts", lambda *_: None)
        without = jobs_of("a")
    local = jobs_of("b")
    monkeypatch.setattr(hosts, "has_other_hosts", lambda _: True)
    # The job is started once for the folder that has the stage.
    elsewhere, another = jobs_of("c"), jobs_of("c2")

    assert (local, elsewhere, another) == (without, without + 1, without + 1)


def test_an_error_of_a_task_reaches_the_driver_with_its_advice(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.txt").write_text("text")
    monkeypatch.setattr(hosts, "has_other_hosts", lambda _: True)
    monkeypatch.setattr(hosts, "ask_hosts", lambda *_: [])
    monkeypatch.setattr(hosts, "package_digest", lambda: "another")

    with pytest.raises(SparkscoreError) as caught:
        sparkscore.score(spark, make_deployment(SCRIPT), input=tmp_path / "in", output=tmp_path / "out")

    assert caught.value.code == "PACKAGE_MISSING"
    assert "the driver's copy of sparkscore" in caught.value.next_step
    assert not (tmp_path / "out").exists()
