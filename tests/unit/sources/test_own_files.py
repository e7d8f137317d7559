from __future__ import annotations

import json
from pathlib import Path

import pytest

from sparkscore.digest import identity_of
from sparkscore.errors import SourceError
from sparkscore.record.run_record import new_record
from sparkscore.record.runs_folder import RunFolder
from sparkscore.sources.listing import list_files
from sparkscore.sources.own_files import OWN


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Data with a folder of runs, a stage and its lock below it."""
    (tmp_path / "deep").mkdir()
    for name in ("a.txt", "deep/b.txt", "notes.lock", "identity"):
        (tmp_path / name).write_text(name)
    folder = RunFolder(tmp_path / "sparkscore-runs", "night")
    folder.create()
    folder.write_record(new_record("night", None, {}))
    (folder.script_output / "made.txt").write_text("x")
    (tmp_path / "sparkscore-runs" / "spark.log").write_text("x")
    stage = tmp_path / "scratch" / "night"
    (stage / "attempts" / "00000-x").mkdir(parents=True)
    (stage / "attempts" / "00000-x" / "part.parquet").write_text("x")
    (stage / "identity").write_text(identity_of({"input": 1, "model": None}))
    lock = {"token": "a", "host": "b", "pid": 1, "began": "2"}
    (tmp_path / "scratch" / "night.lock").write_text(json.dumps(lock))
    (tmp_path / "scratch" / "data.csv").write_text("x")
    return tmp_path


ITEMS = ["a.txt", "deep/b.txt", "identity", "notes.lock", "scratch/data.csv"]


def test_runs_and_stages_below_an_input_are_left_out_and_counted(base: Path) -> None:
    listing = list_files([str(base)])

    assert [str(Path(file.path).relative_to(base)) for file in listing.files] == ITEMS
    assert listing.skipped == {OWN: 3}


def test_a_glob_that_meets_them_leaves_them_out(base: Path) -> None:
    listing = list_files([str(base / "*")])

    assert [str(Path(file.path).relative_to(base)) for file in listing.files] == ITEMS
    assert listing.skipped == {OWN: 3}


def test_runs_of_a_version_that_marked_none_are_known_by_their_records(base: Path) -> None:
    (base / "sparkscore-runs" / ".sparkscore-runs").unlink()

    found = [str(Path(file.path).relative_to(base)) for file in list_files([str(base)]).files]

    assert found == [*ITEMS, "sparkscore-runs/spark.log"]


@pytest.mark.parametrize(
    "location",
    [
        "sparkscore-runs",
        "sparkscore-runs/night",
        "sparkscore-runs/night/record.json",
        "scratch/night",
        "scratch/night/attempts/00000-x/part.parquet",
    ],
)
def test_what_sparkscore_wrote_is_refused_where_it_is_named(base: Path, location: str) -> None:
    with pytest.raises(SourceError, match=r"\[INPUT_OWN_FILES\]") as caught:
        list_files([str(base / location)])

    assert str(base / location) in caught.value.what


def test_what_is_the_users_is_an_input_wherever_it_lies(base: Path) -> None:
    data = base / "sparkscore-runs" / "data"
    data.mkdir()
    (data / "x.csv").write_text("x")

    for location in ("sparkscore-runs/data", "sparkscore-runs/night/script_output", "scratch/data.csv"):
        assert len(list_files([str(base / location)]).files) == 1
