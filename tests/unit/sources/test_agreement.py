from __future__ import annotations

from pathlib import Path

import pytest

from sparkscore.errors import SourceError, SourceSchemaError
from sparkscore.minibatch import HIDDEN_COLUMNS
from sparkscore.plan import InputFile
from sparkscore.sources.agreement import (
    check_against_files,
    check_column_names,
    partition_keys,
    refuse_delta_table,
    refuse_patterns_in_names,
)

FOLDER = Path("/in")


def files(*paths: str) -> list[InputFile]:
    return [InputFile(path, 1, 0) for path in paths]


@pytest.mark.parametrize(
    ("paths", "keys"),
    [
        ([], ()),
        (["/in/a.csv", "/in/b.csv"], ()),
        (["/in/x/a.csv"], ()),
        (["/in/day=1/a.csv", "/in/day=2/b.csv"], ("day",)),
        (["/in/day=1/the%20city=x/a.csv"], ("day", "the city")),
    ],
)
def test_keys_are_those_of_the_folders_below_the_input(paths: list[str], keys: tuple[str, ...]) -> None:
    assert partition_keys(files(*paths), FOLDER) == keys


def test_without_one_folder_there_are_no_keys() -> None:
    assert partition_keys(files("/in/day=1/a.csv"), None) == ()


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        (["/in/day=1/a.csv", "/in/b.csv"], "different partition columns"),
        (["/in/day=1/a.csv", "/in/week=1/a.csv"], "different partition columns"),
        (["/in/day=1/Day=2/a.csv"], "the same key"),
    ],
)
def test_folders_that_spark_would_read_in_part_are_refused(paths: list[str], told: str) -> None:
    with pytest.raises(SourceSchemaError, match=rf"\[INPUT_PARTITIONS\].*{told}"):
        partition_keys(files(*paths), FOLDER)


def test_the_data_files_of_a_delta_table_are_refused(tmp_path: Path) -> None:
    inside = str(tmp_path / "table" / "day=1" / "a.parquet")
    refuse_delta_table(files(inside))
    (tmp_path / "table" / "_delta_log").mkdir(parents=True)

    with pytest.raises(SourceError, match=r"\[INPUT_IS_DELTA\].*--input-format delta"):
        refuse_delta_table(files(inside))


def test_a_name_that_spark_takes_for_a_pattern_is_refused() -> None:
    refuse_patterns_in_names(files("/in/a.json", "/in/ü b.json"))

    with pytest.raises(SourceError, match=r"\[INPUT_NAME\]"):
        refuse_patterns_in_names(files("/in/a.json", "/in/b[1].json"))


def test_columns_whose_names_can_be_told_apart_are_taken() -> None:
    check_column_names(["a", "b", "a_b"], "CSV")


@pytest.mark.parametrize("found", [["a", "A"], ["a", "a"], ["x", min(HIDDEN_COLUMNS)]])
def test_columns_whose_names_are_one_for_spark_are_refused(found: list[str]) -> None:
    with pytest.raises(SourceSchemaError, match=r"\[INPUT_COLUMN_NAMES\].*CSV"):
        check_column_names(found, "CSV")


def test_declared_columns_are_in_the_files_or_in_their_folders() -> None:
    check_against_files(["day"], ["a", "day"], ["a", "b"], "CSV")
    check_against_files(["day"], None, ["a"], "CSV")


def test_a_key_that_is_also_a_column_is_refused() -> None:
    with pytest.raises(SourceSchemaError, match=r"\[INPUT_PARTITIONS\].*'Day'"):
        check_against_files(["day"], None, ["a", "Day"], "CSV")


def test_a_declared_column_that_no_file_has_is_refused() -> None:
    with pytest.raises(SourceSchemaError, match=r"\[INPUT_COLUMNS\].*'b'"):
        check_against_files(["day"], ["a", "b"], ["a"], "CSV")
