"""`--only-failed` again and again, at once, in chains, held and killed: each item is scored once for an output."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sparkscore
from sparkscore.cli import run_command_line
from sparkscore.run import discard
from sparkscore.sinks.parquet import ParquetSink
from sparkscore.stage.lock import RunLock
from tests.support.ledger import check_ledger, read_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeDeployment = Callable[..., Path]
Score = Callable[..., sparkscore.Run]
SETTINGS = {"error_threshold": -1, "mini_batch_size": 5, "retry_settings": {"max_retries": 0}}
# What is tested is what a run keeps in mind: no process for each script, and no probe, since they cost the most.
QUICK: dict[str, Any] = {
    "settings": SETTINGS,
    "isolation": "none",
    "output": {"schema": "prediction bigint", "carry": ["id"]},
}


def script(*poison: int) -> str:
    return (
        f"def run(frame):\n    if frame['id'].isin({list(poison)}).any():\n        raise ValueError('bad')\n"
        "    return (frame['id'] * 2).tolist()"
    )


class Scene:
    """Ten rows, of which 1, 2 and 3 fail at first; two of them are equal."""

    def __init__(self, spark: SparkSession, folder: Path, make_deployment: MakeDeployment) -> None:
        self.spark, self.folder = spark, folder
        pq.write_table(pa.table({"id": [0, 1, 2, 3, 3, 4, 5]}), folder / "rows.parquet")
        self.deployment = make_deployment(script(1, 2, 3), **QUICK)
        self.options: dict[str, Any] = {"output": folder / "out", "output_format": "parquet"}

    def fails(self, *poison: int) -> None:
        (self.deployment.parent / "code" / "score.py").write_text(script(*poison))

    def first(self, **more: Any) -> sparkscore.Run:
        options = self.options | {"input": self.folder / "rows.parquet", "run_id": "night"} | more
        return sparkscore.score(self.spark, self.deployment, **options)

    def again(self, only_failed: str = "night", **more: Any) -> sparkscore.Run:
        return sparkscore.score(self.spark, self.deployment, **self.options | {"only_failed": only_failed} | more)

    def ids(self, output: str = "out") -> list[int]:
        return sorted(read_table(self.folder / output)["id"].to_pylist())


@pytest.fixture
def scene(spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment) -> Scene:
    return Scene(spark, tmp_path, make_deployment)


@pytest.mark.parametrize("output_format", ["delta", "parquet"])
def test_the_same_command_twice_adds_nothing_twice(scene: Scene, output_format: str) -> None:
    scene.options["output_format"] = output_format
    scene.first()
    scene.fails()
    scene.again()

    third = scene.again()

    assert scene.ids() == [0, 1, 2, 3, 3, 4, 5]
    assert (third.record["state"], third.record["counts"]["items"], third.record["output"]["rows"]) == (
        "COMPLETE",
        0,
        0,
    )
    assert third.predictions().count() == 0
    assert sparkscore.publish(scene.spark, third.record["run_id"]).predictions().count() == 0


def test_what_failed_again_is_what_is_left_and_equal_rows_are_counted(scene: Scene) -> None:
    scene.first()
    scene.fails(2, 3)
    scene.again(run_id="one")
    scene.fails(2)

    two = scene.again(run_id="two")
    scene.fails()
    three = scene.again(run_id="three")
    four = scene.again(run_id="four")

    assert [run.record["counts"]["items"] for run in (two, three, four)] == [3, 1, 0]
    assert two.record["only_failed"] == {"run_id": "night", "first": "night", "without": ["one"], "items": 3}
    assert scene.ids() == [0, 1, 2, 3, 3, 4, 5]
    check_ledger(two.record, scene.folder / "runs", [2, 3, 3])


def test_a_chain_and_its_first_run_know_of_each_other(scene: Scene) -> None:
    scene.first()
    scene.fails(2, 3)
    scene.again(run_id="one")
    scene.fails(3)
    scene.again("one", run_id="of-one")  # scores 2, of what is left
    scene.fails()

    by_first = scene.again("night")
    by_middle, by_last = scene.again("one"), scene.again("of-one")

    assert [run.record["counts"]["items"] for run in (by_first, by_middle, by_last)] == [2, 0, 0]
    assert scene.ids() == [0, 1, 2, 3, 3, 4, 5]


def test_another_output_is_counted_apart(scene: Scene) -> None:
    scene.first()
    scene.fails()
    scene.again(output=scene.folder / "other")

    assert scene.again(output=scene.folder / "other").record["counts"]["items"] == 0
    assert scene.again().record["counts"]["items"] == 4
    assert scene.ids() == [0, 1, 2, 3, 3, 4, 5]
    assert scene.ids("other") == [1, 2, 3, 3]


def test_rows_that_are_no_longer_there_are_scored_again(scene: Scene) -> None:
    scene.first()
    scene.fails()
    scene.again(output=scene.folder / "other", run_id="one")
    for file in (scene.folder / "other" / "run_id=one").iterdir():
        file.unlink()
    (scene.folder / "other" / "run_id=one").rmdir()

    assert scene.again(output=scene.folder / "other").record["counts"]["items"] == 4
    assert scene.again(output=scene.folder / "other", mode="overwrite").record["counts"]["items"] == 4
    assert scene.ids("other") == [1, 2, 3, 3]


def test_a_run_id_that_is_given_is_done_once(scene: Scene) -> None:
    scene.first()
    scene.fails()
    one = scene.again(run_id="one")

    assert scene.again(run_id="one").record == one.record
    with pytest.raises(sparkscore.SparkscoreError, match="RUN_ID_USED"):
        scene.again(run_id="night")
    assert scene.ids() == [0, 1, 2, 3, 3, 4, 5]


def test_a_held_run_does_not_count_and_is_not_published_after_another(scene: Scene) -> None:
    scene.first()
    scene.fails()
    scene.again(run_id="held", settings={"publish": "audit"})
    scene.again(run_id="one")

    with pytest.raises(sparkscore.SparkscoreError, match=r"\[ONLY_FAILED_OUTDATED\].*'one'"):
        sparkscore.publish(scene.spark, "held")

    assert scene.ids() == [0, 1, 2, 3, 3, 4, 5]
    discard("held", spark=scene.spark)  # publishing was tried: the table is asked
    assert scene.again().record["counts"]["items"] == 0


def test_a_held_run_that_is_published_counts(scene: Scene) -> None:
    scene.first()
    scene.fails()
    scene.again(run_id="held", settings={"publish": "audit"})

    sparkscore.publish(scene.spark, "held")

    assert scene.again().record["counts"]["items"] == 0
    assert scene.ids() == [0, 1, 2, 3, 3, 4, 5]


@pytest.mark.parametrize("is_published", [False, True])
def test_a_run_that_died_counts_when_its_rows_are_there(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, *, is_published: bool
) -> None:
    scene.first()
    scene.fails()
    publish = ParquetSink.publish

    def die(sink: ParquetSink, staged: Any) -> Any:
        if is_published:
            publish(sink, staged)
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(ParquetSink, "publish", die)
        with pytest.raises(KeyboardInterrupt):
            scene.again(run_id="dead")

    two = scene.again(run_id="two")

    assert two.record["counts"]["items"] == (0 if is_published else 4)
    assert scene.ids() == [0, 1, 2, 3, 3, 4, 5]
    assert scene.again(run_id="dead").record["counts"]["items"] == (4 if is_published else 0)
    assert scene.ids() == [0, 1, 2, 3, 3, 4, 5]


def test_two_at_once_are_refused_and_what_is_not_known_too(scene: Scene) -> None:
    scene.first()
    scene.fails(3)
    runs = scene.folder / "runs"
    with (
        RunLock(runs / "night" / "lock", "night"),
        pytest.raises(sparkscore.SparkscoreError, match="ONLY_FAILED_RUNNING"),
    ):
        scene.again()
    scene.again(run_id="one")
    note = runs / "night" / "scored_again.json"
    text = note.read_text()
    note.write_text(text.replace('"items": 4', '"items": 3'))
    with pytest.raises(sparkscore.SparkscoreError, match="ONLY_FAILED_UNKNOWN"):
        scene.again()
    note.write_text(text)
    for file in (scene.folder / "out_quarantine" / "run_id=one").iterdir():
        file.unlink()
    with pytest.raises(sparkscore.SparkscoreError, match="ONLY_FAILED_UNKNOWN"):
        scene.again()
    assert scene.ids() == [0, 1, 2, 4, 5]


def test_files_and_the_command_line_say_that_there_is_nothing_to_do(
    spark: SparkSession,
    tmp_path: Path,
    make_deployment: MakeDeployment,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    del spark  # the command finds this session
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for number in range(4):
        (tmp_path / "in" / f"{number}.txt").write_text("x" * number)
    fails = "def run(files):\n    assert not any('2.' in file for file in files)\n    return [1] * len(files)"
    deployment = make_deployment(fails, settings=SETTINGS, isolation="none")
    command = [
        "run",
        str(deployment),
        "--input",
        "in",
        "--input-format",
        "files",
        "--output",
        "out",
        "--run-id",
        "night",
    ]
    assert run_command_line(command) == 0
    (deployment.parent / "code" / "score.py").write_text("def run(files): return [2] * len(files)")
    assert run_command_line(["run", "--only-failed", "night"]) == 0
    capfd.readouterr()

    assert run_command_line(["run", "--only-failed", "night"]) == 0
    assert "nothing to do" in capfd.readouterr().out
    assert run_command_line(["run", "--only-failed", "night", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["counts"]["items"] == 0
    assert read_table(tmp_path / "out").num_rows == 4
