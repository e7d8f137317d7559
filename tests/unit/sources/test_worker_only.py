from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkscore.plan import InputFile
from sparkscore.sources.footers import read_footers
from sparkscore.sources.worker_only import WorkerOnly, find_worker_only

PLAIN = pa.table({"id": [1], "u": ["a"]})
HALVES = pa.table({"id": [1], "x": pa.array([0.5], pa.float16())})
UUIDS = pa.table({"id": [1], "u": pa.array([bytes(16)], pa.uuid())})


def found_in(folder: Path, *tables: pa.Table, columns: str = "id x u", **options: Any) -> WorkerOnly | None:
    files = []
    for number, table in enumerate(tables):
        path = folder / f"{number}.parquet"
        pq.write_table(table, path, **options)
        files.append(InputFile(str(path), path.stat().st_size, 1))
    return find_worker_only(files, read_footers(files).of_files, columns.split())


@pytest.mark.parametrize("store_schema", [True, False])
def test_the_first_file_with_a_type_that_only_workers_read_is_named(tmp_path: Path, *, store_schema: bool) -> None:
    found = found_in(tmp_path, PLAIN, UUIDS, HALVES, UUIDS, store_schema=store_schema)

    assert found is not None
    error = found.refused("the reason")
    assert str(error).startswith(
        f"[INPUT_TYPES] column 'u' of the Parquet file '{tmp_path / '1.parquet'}': got type arrow.uuid, which only the "
        "workers can read, expected a type that Spark reads with its meaning, because Spark must read this input: the "
        "reason."
    )
    assert "Correct the files: write it as text" in str(error)
    assert "input.reader" not in str(error)
    assert "Set 'input.reader: worker'" in str(found.refused("'input.reader' is spark", is_chosen=True))


def test_a_file_with_brotli_is_named(tmp_path: Path) -> None:
    found = found_in(tmp_path, PLAIN, compression="brotli")

    assert found is not None
    error = found.refused("the reason", is_chosen=True)
    assert str(error).startswith(
        f"[INPUT_CODEC] Parquet file '{tmp_path / '0.parquet'}': got values packed with BROTLI, expected snappy, zstd, "
    )
    assert "which Spark reads (the reason)" in str(error)
    assert "Set 'input.reader: worker'" in str(error)


def test_what_is_not_read_does_not_count(tmp_path: Path) -> None:
    assert found_in(tmp_path, PLAIN, HALVES, columns="id") is None
    assert found_in(tmp_path, PLAIN, HALVES.slice(1)) is None
    assert found_in(tmp_path, PLAIN, PLAIN) is None


def test_a_footer_that_cannot_be_read_is_left_to_spark(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"PAR1")
    file = InputFile(str(tmp_path / "a"), 4, 1)

    assert find_worker_only([file], read_footers([file]).of_files, ["id"]) is None
