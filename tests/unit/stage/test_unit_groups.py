from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.stage.unit_groups import write_units

SCHEMA = pa.schema([("unit", pa.int64()), ("path", pa.string())], metadata={b"format": b"1"})


@given(counts=st.lists(st.integers(1, 4), max_size=6))
def test_each_unit_has_a_row_group_with_its_rows_in_their_order(tmp_path_factory: object, counts: list[int]) -> None:
    folder: Path = tmp_path_factory.mktemp("units")  # type: ignore[attr-defined]
    rows = [{"unit": unit, "path": f"{unit}-{row}"} for unit, count in enumerate(counts) for row in range(count)]

    write_units(str(folder / "plan.parquet"), pa.Table.from_pylist(rows, SCHEMA), SCHEMA)

    file = pq.ParquetFile(folder / "plan.parquet")
    groups = [file.read_row_group(group).to_pylist() for group in range(file.num_row_groups)]
    assert groups == [[row for row in rows if row["unit"] == unit] for unit in range(len(counts))]
    assert file.schema_arrow.metadata == {b"format": b"1"}
