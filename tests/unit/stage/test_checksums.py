from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkscore.errors import SinkError
from sparkscore.stage import StagedFile
from sparkscore.stage.checksums import find_changed, read_sealed, sealed
from sparkscore.stage.local_store import LocalStore
from sparkscore.stage.plan_file import PLAN_SCHEMA, is_plan_of, read_planned_mini_batches, write_plan
from sparkscore.stage.writer import StageWriter

ROWS = pa.table({"id": range(1000), "name": [f"row {number}" for number in range(1000)]})


def stage(folder: Path, partition_by: tuple[str, ...] = ()) -> tuple[StagedFile, ...]:
    with StageWriter(str(folder), 3, partition_by=partition_by) as writer:
        writer.write(ROWS)
        writer.write(ROWS.slice(0, 10))
        return writer.finish()


def test_a_staged_file_is_named_with_the_checksum_of_its_bytes(tmp_path: Path) -> None:
    (file,) = stage(tmp_path)

    content = (tmp_path / file.path).read_bytes()
    assert (file.rows, file.size_bytes) == (1010, len(content))
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    assert pq.read_table(tmp_path / file.path, page_checksum_verification=True).num_rows == 1010
    assert find_changed(tmp_path, [file], reads_all=True) == find_changed(tmp_path, [file], reads_all=False) == []


def test_each_partition_s_file_has_its_own(tmp_path: Path) -> None:
    files = stage(tmp_path, ("id",))

    assert len({file.sha256 for file in files}) == len(files) == 1000
    assert find_changed(tmp_path, files, reads_all=True) == []


def replaced(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.set_column(0, "id", pa.array([-1] * table.num_rows)), path)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def fewer_rows(path: Path) -> None:
    pq.write_table(ROWS.slice(0, 5), path)


@pytest.mark.parametrize("change", [replaced, flipped, cut, fewer_rows, Path.unlink])
def test_a_file_that_was_changed_is_named(tmp_path: Path, change: Callable[[Path], None]) -> None:
    first, second = stage(tmp_path), stage(tmp_path)
    change(tmp_path / second[0].path)

    (found,) = find_changed(tmp_path, (*first, *second), reads_all=True)

    assert found[0] == second[0].path


@pytest.mark.parametrize(("change", "expected"), [(fewer_rows, "bytes instead of"), (cut, "bytes"), (Path.unlink, "")])
def test_size_and_footer_tell_of_a_file_that_is_not_whole(
    tmp_path: Path, change: Callable[[Path], None], expected: str
) -> None:
    (file,) = stage(tmp_path)
    change(tmp_path / file.path)

    ((_, difference),) = find_changed(tmp_path, [file], reads_all=False)

    assert expected in difference


def test_the_footer_is_compared_where_the_size_is_the_same(tmp_path: Path) -> None:
    (file,) = stage(tmp_path)
    path = tmp_path / file.path

    assert find_changed(tmp_path, [replace(file, rows=3)], reads_all=False) == [(file.path, "1010 rows instead of 3")]
    path.write_bytes(b"x" * file.size_bytes)
    assert find_changed(tmp_path, [file], reads_all=False) == [(file.path, "no Parquet file")]


def test_a_file_of_a_version_without_checksums_cannot_be_proved(tmp_path: Path) -> None:
    (file,) = stage(tmp_path)

    ((_, difference),) = find_changed(tmp_path, [replace(file, sha256="")], reads_all=True)

    assert "no checksum" in difference


@pytest.mark.parametrize("content", [b"", b"reports", b"x" * 5000])
def test_what_is_sealed_comes_back_and_nothing_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "note"
    path.write_bytes(sealed(content))
    assert read_sealed(LocalStore(tmp_path), path.name) == content

    for changed in (sealed(content)[:-1], sealed(content) + b"\0", b"y" + sealed(content), content, b""):
        path.write_bytes(changed)
        with pytest.raises(SinkError, match="STAGE_CHANGED") as caught:
            read_sealed(LocalStore(tmp_path), path.name)
        assert str(path) in caught.value.what


def plan(*rows: tuple[int, str, str]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(PLAN_SCHEMA.names, row, strict=True)) for row in rows], schema=PLAN_SCHEMA)


PLAN = plan((0, "0", "a"), (0, "0", "b"), (1, "1", "c"), (1, "1", "d"), (1, "2", "e"))


def test_a_plan_is_known_again_whatever_the_work_units(tmp_path: Path) -> None:
    path = str(tmp_path / "plan.parquet")
    write_plan(path, PLAN)

    assert is_plan_of(path, PLAN)
    assert is_plan_of(path, plan((0, "1", "c"), (0, "1", "d"), (1, "0", "a"), (1, "0", "b"), (2, "2", "e")))


@pytest.mark.parametrize(
    "other",
    [
        plan((0, "0", "a"), (0, "0", "b"), (1, "1", "c"), (1, "1", "d")),
        plan((0, "0", "b"), (0, "0", "a"), (1, "1", "c"), (1, "1", "d"), (1, "2", "e")),
        plan((0, "0", "a"), (0, "0", "b"), (1, "1", "c"), (1, "1", "d"), (1, "2", "x")),
        plan((0, "0", "a"), (0, "0", "b"), (1, "1", "c"), (1, "1", "d"), (2, "2", "e"), (3, "2", "e")),
        plan((0, "0", "a"), (1, "0", "b"), (1, "1", "c"), (1, "1", "d"), (1, "2", "e")),
    ],
)
def test_another_plan_is_another(tmp_path: Path, other: pa.Table) -> None:
    path = str(tmp_path / "plan.parquet")
    write_plan(path, other)

    assert not is_plan_of(path, PLAN)


def test_a_plan_that_was_cut_changed_or_is_of_another_layout_is_none(tmp_path: Path) -> None:
    path = tmp_path / "plan.parquet"
    pq.write_table(PLAN, path)  # one row group for all units
    assert not is_plan_of(str(path), PLAN)
    write_plan(str(path), PLAN)
    content = path.read_bytes()
    path.write_bytes(content[:100])
    assert not is_plan_of(str(path), PLAN)
    # A byte of a page: the pages carry checksums, which the workers compare too.
    where = content.index(b"a", 8)
    path.write_bytes(content[:where] + b"z" + content[where + 1 :])
    assert not is_plan_of(str(path), PLAN)
    with pytest.raises(OSError, match=r"checksum|corrupt"):
        list(read_planned_mini_batches(str(path), [0]))
