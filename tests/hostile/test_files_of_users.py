"""Files of the user where runs stage, publish and record: commands are given, then one looks what is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sparkscore
from sparkscore.cli import run_command_line

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeDeployment = Callable[..., Path]
SCRIPT = "def run(frame): return (frame['id'] * 2).tolist()"


class Place:
    """A folder with an input, in which a user scores and cleans."""

    def __init__(self, spark: SparkSession, folder: Path, make_deployment: MakeDeployment) -> None:
        self.folder = folder
        self._spark, self._make = spark, make_deployment
        self._deployments = 0
        pq.write_table(pa.table({"id": range(10)}), folder / "rows.parquet")

    def theirs(self, *paths: str) -> list[Path]:
        for path in paths:
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text("the user's")
        return [self.folder / path for path in paths]

    def run(self, target: str, *, run_id: str, more: dict[str, Any] | None = None, **sections: Any) -> str:
        """Give how a run ended: its state, or the code of its error."""
        self._deployments += 1
        deployment = self._make(SCRIPT, f"deployment{self._deployments}", **sections)
        options: dict[str, Any] = {"input": self.folder / "rows.parquet", "output": self.folder / target} | (more or {})
        try:
            return str(sparkscore.score(self._spark, deployment, run_id=run_id, **options).record["state"])
        except sparkscore.SparkscoreError as error:
            return error.code

    def stage(self, folder: str, **more: Any) -> dict[str, Any]:
        return {"output": {"format": "parquet", "stage": str(self.folder / folder), **more}}


@pytest.fixture
def place(spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment) -> Place:
    return Place(spark, tmp_path, make_deployment)


def kept(files: list[Path]) -> list[bool]:
    return [file.exists() and file.read_text() == "the user's" for file in files]


def test_a_folder_at_the_place_of_the_stage_outlives_run_and_clean(place: Place) -> None:
    files = place.theirs("scratch/march/data.csv", "scratch/stage/model.pkl", "scratch/colleague/deep/data.csv")
    (place.folder / "scratch" / "empty").mkdir()
    (place.folder / "scratch" / "linked").symlink_to(place.folder / "scratch" / "colleague")

    states = [place.run(f"out-{name}", run_id=name, **place.stage("scratch")) for name in ("march", "stage", "linked")]
    other = place.run("out", run_id="other", **place.stage("scratch"))
    assert run_command_line(["clean"]) == 0

    assert (states, other) == (["STAGE_NOT_OURS"] * 3, "COMPLETE")
    assert all(kept(files))
    assert (place.folder / "scratch" / "empty").is_dir()


@pytest.mark.parametrize("output_format", ["delta", "parquet"])
def test_clean_leaves_a_table_beside_its_stages(place: Place, output_format: str) -> None:
    state = place.run("results/pred", run_id="one", **place.stage("results", format=output_format))
    assert run_command_line(["clean"]) == 0

    assert state == "COMPLETE"
    assert (
        sum(pq.read_metadata(file).num_rows for file in (place.folder / "results/pred").rglob("part-*.parquet")) == 10
    )


def test_overwrite_of_what_no_run_wrote_is_refused_then_moved_aside(place: Place) -> None:
    files = place.theirs("out/month=01/notes.csv", "out/month=01/model.pkl")
    output = {"format": "parquet", "mode": "overwrite"}

    refused = place.run("out", run_id="one", output=output)
    assert (refused, kept(files)) == ("OUTPUT_FOREIGN_FILES", [True, True])
    assert place.run("out", run_id="two", output=output | {"replace": "foreign"}) == "COMPLETE"

    aside = place.folder / "out" / "_replaced_by_two" / "month=01"
    assert kept([aside / "notes.csv", aside / "model.pkl"]) == [True, True]
    assert sorted(path.name for path in (place.folder / "out").iterdir()) == ["_replaced_by_two", "run_id=two"]


def test_a_held_runs_id_with_another_output_touches_nothing_there(place: Place) -> None:
    files = place.theirs("other/part-00000-a.parquet", "other/day=1/part-1.parquet")
    delta = {"format": "delta"}

    states = [place.run(output, run_id="night", publish="audit", output=delta) for output in ("out", "other")]

    assert states == ["HELD", "RUN_ID_USED"]
    assert all(kept(files))


@pytest.mark.parametrize("name", ["record.json", "run.log", "score.py"])
def test_a_folder_of_the_runs_name_among_the_records_is_left_alone(place: Place, name: str) -> None:
    files = place.theirs(f"mycode/{name}", "mycode/model.pkl")

    state = place.run("out", run_id="mycode", more={"runs": place.folder}, output={"format": "parquet"})

    assert state == "RUN_FOLDER_NOT_OURS"
    assert all(kept(files))
    assert len(list((place.folder / "mycode").iterdir())) == 2
