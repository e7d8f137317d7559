from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkscore.errors import LineageError
from sparkscore.stage.plan_file import PLAN_SCHEMA, is_plan_of, write_plan

ROWS = pa.Table.from_pylist([{"unit": 0, "mini_batch": "0", "path": "/in/a"}], schema=PLAN_SCHEMA)
KEY = b"sparkscore.format"


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "night" / "plan.parquet"
    path.parent.mkdir()
    write_plan(str(path), ROWS)
    return path


def test_a_plan_carries_the_number_of_its_format(plan: Path) -> None:
    assert pq.read_schema(plan).metadata[KEY] == b"1"
    assert is_plan_of(str(plan), ROWS)


@pytest.mark.parametrize("number", [b"0", b"2", b"\xff"])
def test_a_plan_of_another_format_is_refused_by_its_number(plan: Path, number: bytes) -> None:
    later = pa.schema([*PLAN_SCHEMA, ("bytes", pa.int64())], metadata={KEY: number})
    pq.write_table(ROWS.append_column("bytes", [[1]]).cast(later).replace_schema_metadata({KEY: number}), plan)

    with pytest.raises(LineageError, match=r"\[OTHER_FORMAT\] the plan '.*plan.parquet' of run 'night'") as caught:
        is_plan_of(str(plan), ROWS)

    assert caught.value.got.startswith("format ")
    assert "sparkscore runs show night --json" in caught.value.next_step


def test_a_plan_without_a_number_is_of_the_first_format(plan: Path) -> None:
    pq.write_table(ROWS.replace_schema_metadata(None), plan)

    assert pq.read_schema(plan).metadata is None
    assert is_plan_of(str(plan), ROWS)
