"""Tests of the comparison of inputs and outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparkscore.run.overlap import do_overlap


@pytest.mark.parametrize(
    "location",
    [
        "out/*",
        "out/*.csv",
        "out/run_id=*/*.parquet",
        "out/sub/*.csv",
        "*/*.parquet",
        "*/*.json",
        "*/run_id=1/*",
        "*/_delta_log",
        "*",
        "ou[t]",
        "**",
        "**/*.csv",
        "**/out",
        "../*/*/run_id=*/*",
        "other/../out/*",
    ],
)
def test_a_glob_that_finds_files_of_the_output_overlaps(tmp_path: Path, location: str) -> None:
    assert do_overlap(f"{tmp_path}/d/{location}", tmp_path / "d" / "out")
    assert do_overlap(f"file:{tmp_path}/d/{location}", tmp_path / "d" / "out")


@pytest.mark.parametrize(
    "location", ["*.csv", "other/*", "*/*.csv", "*/raw/*.parquet", "*/data.parquet", "o/**", "out_*", "o?"]
)
def test_a_glob_that_finds_no_files_of_the_output_does_not_overlap(tmp_path: Path, location: str) -> None:
    assert not do_overlap(f"{tmp_path}/d/{location}", tmp_path / "d" / "out")


def test_a_star_does_not_match_a_slash(tmp_path: Path) -> None:
    assert not do_overlap(f"{tmp_path}/*.csv", tmp_path / "deep" / "out.csv")


def test_a_glob_that_matches_a_folder_above_the_output_overlaps(tmp_path: Path) -> None:
    assert do_overlap(f"{tmp_path}/d*", tmp_path / "deep" / "er" / "out")


def test_a_glob_that_matches_a_file_in_the_output_overlaps(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.csv").touch()

    assert do_overlap(f"{tmp_path}/*/*.csv", tmp_path / "out")


def test_a_glob_that_matches_a_link_into_the_output_overlaps(tmp_path: Path) -> None:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "out" / "a.parquet").touch()
    (tmp_path / "in" / "link.parquet").symlink_to(tmp_path / "out" / "a.parquet")

    assert do_overlap(f"{tmp_path}/in/*.parquet", tmp_path / "out")


def test_a_linked_folder_before_a_glob_hides_no_overlap(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "d")

    assert do_overlap(f"{tmp_path}/link/out/*.csv", tmp_path / "d" / "out")
    assert do_overlap(f"{tmp_path}/d/*", tmp_path / "link" / "out")


def test_a_glob_that_matches_an_output_that_is_a_link_overlaps(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")

    assert do_overlap(f"{tmp_path}/*", tmp_path / "out")


def test_dots_after_a_link_hide_no_overlap(tmp_path: Path) -> None:
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "deep")

    assert do_overlap(f"{tmp_path}/far/out", tmp_path / "link" / ".." / "out")
    assert do_overlap(f"{tmp_path}/out", tmp_path / "link" / ".." / "out")


def test_a_name_with_special_characters_that_exists_is_no_glob(tmp_path: Path) -> None:
    (tmp_path / "o[u]t").mkdir()

    assert not do_overlap(f"{tmp_path}/o[u]t", tmp_path / "out")
    assert do_overlap(f"{tmp_path}/o[u]t", tmp_path / "o[u]t")
