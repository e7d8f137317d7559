from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ScoringError
from sparkscore.plan import InputFile
from sparkscore.sources import footers as subject
from sparkscore.sources.footers import count_nulls, read_footers
from sparkscore.survey.parquet_footers import FooterShare, find_as_text
from tests.support.simulation.spark import SparkStandIn


def written(folder: Path, *tables: pa.Table, **options: object) -> list[str]:
    paths = [str(folder / f"{number}.parquet") for number, _ in enumerate(tables)]
    for path, table in zip(paths, tables, strict=True):
        pq.write_table(table, path, row_group_size=2, **options)
    return paths


def test_nulls_are_added_up_over_row_groups_and_files_and_none_is_not_unknown(tmp_path: Path) -> None:
    paths = written(
        tmp_path,
        pa.table({"a": [1, None, 3, None, 5], "b": [1, 2, 3, 4, 5]}),
        pa.table({"a": pa.array([None], pa.int64()), "b": [6]}),
    )

    assert count_nulls(paths, ["a", "b", "c"]) == {"a": 3, "b": 0}


def test_statistics_that_are_missing_in_one_file_say_nothing_unless_another_has_a_null(tmp_path: Path) -> None:
    (tmp_path / "without").mkdir()
    told = written(tmp_path, pa.table({"a": [1, None], "b": [1, 2]}))
    untold = written(tmp_path / "without", pa.table({"a": [1, 2], "b": [None, 2]}), write_statistics=False)

    assert count_nulls(told + untold, ["a", "b"]) == {"a": 1}


def test_a_column_that_a_file_does_not_have_is_unknown_unless_the_file_has_no_row(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    paths = written(tmp_path, pa.table({"a": [1, 2], "A": [3, 4]}), pa.table({"A": [5]}))
    empty = written(tmp_path / "empty", pa.table({"x": pa.array([], pa.int64())}))

    assert count_nulls(paths, ["a", "A"]) == {"A": 0}
    assert count_nulls([paths[0], *empty], ["a", "A"]) == {"a": 0, "A": 0}


@pytest.mark.parametrize(("rows", "counts"), [(4, {"a": 1, "b": 0}), (3, {"b": 0}), (None, {"a": 1, "b": 0})])
def test_nulls_may_be_among_the_rows_that_are_deleted(tmp_path: Path, rows: int | None, counts: dict[str, int]) -> None:
    paths = written(tmp_path, pa.table({"a": [1, None, 3, 4], "b": [1, 2, 3, 4]}))

    assert count_nulls(paths, ["a", "b"], rows) == counts


def test_a_part_of_a_column_is_not_taken_for_a_column_with_a_dot(tmp_path: Path) -> None:
    paths = written(tmp_path, pa.table({"s": [{"a": None}, {"a": 1}], "s.a": [1, 2], "a": [1, 2]}))

    assert count_nulls(paths, ["s.a", "s", "a"]) == {"a": 0}


def test_a_file_that_cannot_be_read_leaves_everything_unknown(tmp_path: Path) -> None:
    paths = written(tmp_path, pa.table({"a": [1, 2]}))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")

    assert count_nulls([*paths, str(tmp_path / "broken.parquet")], ["a"]) == {}
    assert count_nulls([], ["a"]) == {}


def test_nulls_are_counted_while_the_footers_are_read_for_the_types(tmp_path: Path) -> None:
    paths = written(
        tmp_path,
        pa.table({"a": [1, None, 3], "b": [1, 2, 3], "s": [{"x": None}, None, None]}),
        pa.table({"a": [None, 2], "b": pa.array([1, 2], pa.int64()), "s": [{"x": 1}, None]}),
    )

    footers = read_footers([InputFile(path, 1, 1) for path in paths])
    some = read_footers([InputFile(path, 1, 1) for path in paths], ["b"])
    for path in paths:
        Path(path).unlink()

    assert [list(footer.columns) for footer in footers.of_files if footer] == [["a", "b", "s"]] * 2
    assert footers.nulls.of(["a", "b", "s", "s.x", "z"]) == {"a": 2, "b": 0}
    assert some.nulls.of(["a", "b"]) == {"b": 0}


@pytest.fixture
def spark() -> Any:
    return SparkStandIn(random.Random(1))  # noqa: S311 - a test


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[InputFile]:
    """Nine files of three layouts, one of which cannot be read, where three files are many."""
    monkeypatch.setattr(subject, "_MOST_HERE", 3)
    monkeypatch.setattr(subject, "_LEAST_SHARE", 2)
    tables = [
        pa.table({"a": [1, None, 3], "b": ["x", "y", None]}),
        pa.table({"a": [None, 2.5]}),
        pa.table({"a": pa.array([], pa.float64())}),
    ]
    paths = written(tmp_path, *(tables[number % 3] for number in range(9)))
    Path(paths[4]).write_bytes(b"PAR1")
    return [InputFile(path, 1, 1) for path in paths]


def test_the_workers_find_in_many_footers_what_the_driver_finds(
    many: list[InputFile], spark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[tuple[str, ...]] = []

    def noted(share: FooterShare) -> str:
        shares.append(share[0])
        return find_as_text(share)

    monkeypatch.setattr(subject, "find_as_text", noted)
    here, there = read_footers(many, ["a", "b"]), read_footers(many, ["a", "b"], spark)

    assert here == there
    assert (
        [each is None for each in there.of_files]
        == [each is None for each in there.rows]
        == [number == 4 for number in range(9)]
    )
    assert there.of_files[0] is there.of_files[6]
    assert there.rows[6] is not None
    assert (there.rows[6].path, there.rows[6].rows) == (many[6].path, (2, 1))
    assert sorted(path for share in shares for path in share) == [file.path for file in many]
    assert len(shares) > 1


def test_the_driver_reads_few_footers_itself(many: list[InputFile]) -> None:
    no_session: Any = object()

    assert read_footers(many[:3], None, no_session) == read_footers(many[:3])


def test_the_driver_reads_the_footers_that_the_workers_do_not_see(
    many: list[InputFile], spark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a cluster whose hosts have no access to the input, which is reported later and by name."""
    here = read_footers(many)

    def of_another_host(share: FooterShare) -> str:
        return find_as_text((tuple(f"/gone{path}" for path in share[0]), *share[1:]))

    monkeypatch.setattr(subject, "find_as_text", of_another_host)

    assert read_footers(many, None, spark) == here


def test_the_driver_reads_all_footers_if_the_workers_fail(
    many: list[InputFile], spark: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> list[str]:
        raise ScoringError(code=ErrorCode.SPARK_JOB, what="the Spark job", got="no Python", next_step="Install it.")

    monkeypatch.setattr(subject, "map_on_workers", fail)

    with caplog.at_level("INFO", "sparkscore"):
        assert read_footers(many, None, spark) == read_footers(many)

    assert "the driver reads the footers of all files: the Spark job: got no Python" in caplog.text


def test_the_workers_count_the_nulls_of_many_files(many: list[InputFile], spark: Any) -> None:
    paths = [file.path for file in many]

    assert count_nulls(paths[:4], ["a"], None, spark) == count_nulls(paths[:4], ["a"]) == {"a": 3}
    assert count_nulls(paths, ["a"], None, spark) == {"a": 5}
