from __future__ import annotations

from pathlib import Path
from typing import Literal

import pyarrow as pa
import pytest

from sparkscore.minibatch import MiniBatchLimit
from sparkscore.row_units import FileRows, plan_row_units
from sparkscore.stage import StageFolder
from sparkscore.stage.layout import chunk
from sparkscore.stage.plan_file import PLAN_SCHEMA
from tests.storm.rig import MINI_BATCHES_OF_A_CHUNK, ROWS_OF_A_CALL, Kind, Rig, SparkHome

MINI_BATCHES = 90


@pytest.fixture
def rig(tmp_path: Path, request: pytest.FixtureRequest) -> Rig:
    items: Literal["files", "rows"] = request.param
    rig = Rig(tmp_path / "rig", Kind(items, "script", "delta"), MINI_BATCHES, SparkHome(tmp_path, {}))
    rig.stage.mkdir(parents=True)
    return rig


def do_chunks(rig: Rig, units: dict[int, int]) -> None:
    """Leave the files of the given numbers of chunks in the stage, by work unit."""
    for unit, count in units.items():
        for number in range(count):
            path = rig.stage / chunk(unit, number * MINI_BATCHES_OF_A_CHUNK)
            path.parent.mkdir(exist_ok=True)
            path.touch()


@pytest.mark.parametrize("rig", ["rows"], indirect=True)
def test_chunks_of_rows_that_the_workers_read_are_counted_by_work_unit(rig: Rig) -> None:
    files = [FileRows(str(path), (225,), (1,)) for path in sorted(rig.input.iterdir())]
    parts = plan_row_units(files, MiniBatchLimit(items=ROWS_OF_A_CALL), 4)
    planned = StageFolder(rig.stage).keep_parts(parts, {file.path: 225 for file in files})

    assert rig.done() == 0
    chunks = {unit: -(-rows // (ROWS_OF_A_CALL * MINI_BATCHES_OF_A_CHUNK)) for unit, rows in planned.items()}
    assert sum(chunks.values()) > -(-MINI_BATCHES // MINI_BATCHES_OF_A_CHUNK), "the units end with a shorter chunk"
    do_chunks(rig, {0: chunks[0]})
    assert rig.done() == chunks[0] / sum(chunks.values())
    do_chunks(rig, chunks)
    assert rig.done() == 1


@pytest.mark.parametrize("rig", ["files"], indirect=True)
def test_chunks_of_files_are_counted_by_work_unit(rig: Rig) -> None:
    rows = [
        {"unit": number // 45, "mini_batch": str(number), "path": str(path)}
        for number, path in enumerate(sorted(rig.input.iterdir()))
    ]
    StageFolder(rig.stage).keep_plan(pa.Table.from_pylist(rows, schema=PLAN_SCHEMA))

    do_chunks(rig, {0: 12})
    assert rig.done() == 0.5


@pytest.mark.parametrize("rig", ["rows"], indirect=True)
def test_chunks_of_rows_that_spark_reads_are_estimated(rig: Rig) -> None:
    do_chunks(rig, {0: 23})

    assert rig.done() == 1
