from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import sparkscore
from sparkscore.parquet.opening import open_parquet


class CountingFile(io.BytesIO):
    """A file that counts the bytes that are read from it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.count += len(content)
        return content


def test_a_row_group_is_fetched_when_its_rows_are_needed() -> None:
    file = CountingFile()
    rows = pa.table({"number": np.random.default_rng(0).integers(0, 2**62, 200_000)})
    pq.write_table(rows, file, row_group_size=20_000)
    size = len(file.getvalue())

    opened = open_parquet(file)
    footer = file.count
    shares = [(file.count - footer) / size for _ in opened.iter_batches(20_000)]

    assert len(shares) == 10
    assert all(share < (number + 1.5) / 10 for number, share in enumerate(shares))


def test_all_files_are_opened_this_way() -> None:
    modules = Path(sparkscore.__file__).parent.rglob("*.py")

    assert [module.name for module in modules if "ParquetFile(" in module.read_text()] == ["opening.py"]
