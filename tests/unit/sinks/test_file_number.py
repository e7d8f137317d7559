from __future__ import annotations

import pytest

from sparkscore.sinks.file_number import are_few, files_of_size, files_of_spark, rows_of_size, why_too_many
from sparkscore.stage import StagedFile

MB = 1024 * 1024


def files(count: int, size_bytes: int, folders: tuple[str, ...] = ("",)) -> list[StagedFile]:
    return [
        StagedFile(f"attempts/{number:05d}-0a/{folder}part-{number}.parquet", 1, size_bytes)
        for number in range(count)
        for folder in folders
    ]


@pytest.mark.parametrize(
    ("staged", "slots", "expected"),
    [
        ([], 2, 0),
        (files(1, 1000), 2, 1),
        (files(20, MB), 2, 2),
        (files(2000, 1000), 2, 63),  # tasks of 128 MB, if each file counts as 4 MB
        (files(10, 200 * MB), 4, 16),
        (files(20, MB, ("day=1/", "day=2/")), 2, 2),
        (files(20, 100 * MB, ("day=1/",)), 2, 16),
    ],
)
def test_as_many_files_as_spark_writes(staged: list[StagedFile], slots: int, expected: int) -> None:
    assert files_of_spark(staged, slots) == expected


def test_too_many_files_are_four_times_as_many_and_more_than_64() -> None:
    values = tuple(f"store={number}/" for number in range(64))

    assert why_too_many(files(64, 1000), 2) is None
    assert why_too_many(files(4, MB, values), 2) is None
    assert why_too_many(files(20, MB, values), 2) == "the workers wrote 1280 files, and Spark writes about 64"
    assert why_too_many(files(100, 1000), 2) == "the workers wrote 100 files, and Spark writes about 4"
    assert why_too_many(files(100, 200 * MB), 2) is None


def test_only_files_below_16_mib_count() -> None:
    assert why_too_many(files(100, 15 * MB), 2) == "the workers wrote 100 files, and Spark writes about 15"
    assert why_too_many(files(100, 16 * MB), 2) is None
    assert why_too_many([*files(200, 16 * MB), *files(64, 1000)], 2) is None


def test_partitions_have_at_most_four_small_files_each() -> None:
    values = tuple(f"store={number}/" for number in range(50))

    assert why_too_many(files(4, 10_000, values), 2) is None
    assert why_too_many(files(5, 10_000, values), 2) == "the workers wrote 250 files, and Spark writes about 50"


def test_the_number_of_few_files_does_not_matter() -> None:
    assert are_few(files(64, 1000))
    assert not are_few(files(65, 1000))


@pytest.mark.parametrize(
    ("staged", "size", "count", "rows"),
    [
        ([], MB, 1, 1),
        (files(1, 10), MB, 1, MB // 10),
        (files(10, MB), 4 * MB, 3, 4),
        (files(3, 4 * MB), MB, 12, 1),
    ],
)
def test_files_of_a_size_have_the_rows_that_fit(staged: list[StagedFile], size: int, count: int, rows: int) -> None:
    assert (files_of_size(staged, size), rows_of_size(staged, size)) == (count, rows)
