"""Make the inputs of the benchmark: the same bytes each time, once, into a cache folder."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.bench.cases import FEATURES, Layout

ROWS_OF_A_FILE: Final = 250_000
ROWS_OF_A_GROUP: Final = 50_000
# Multiples of so many rows are hard links to their files: 200 M rows of their own would take 24 GB. Their ids repeat.
LINKED_ROWS: Final = 20_000_000
# A row of the narrow layout has 120 bytes, so these are 64 MB and 100 KB.
_SKEWED_LARGE, _SKEWED_SMALL, _SKEWED_FILES = 533_000, 850, 100
_NULLS: Final = 0.1
_SMALL_INTEGERS: Final = FEATURES[20:]
CARRIED: Final = tuple(f"c{number:02}" for number in range(20))
Random = np.random.Generator


def make_input(folder: Path, layout: Layout, size: int, files: int = 0) -> Path:
    """Return a folder of the cache with an input, which is made if it is not there.

    Args:
        folder: the cache.
        layout: the form of the input.
        size: number of rows or files.
        files: number of files for rows; 0 chooses it.
    """
    made = folder / f"{layout}-{size}{f'-{files}' if files else ''}"
    if not made.exists():
        unfinished = made.with_name(f"{made.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        if layout == "narrow" and not files and size > LINKED_ROWS and not size % LINKED_ROWS:
            _link_rows(unfinished, make_input(folder, layout, LINKED_ROWS), size // LINKED_ROWS)
        elif layout in ("narrow", "mixed"):
            _write_rows(unfinished, layout, _even(size, files or max(2, -(-size // ROWS_OF_A_FILE))))
        elif layout == "skewed":
            _write_rows(unfinished, "narrow", _skewed(size))
        else:
            _FILES[layout](unfinished, size)
        unfinished.rename(made)
    return made


def _even(rows: int, files: int) -> list[int]:
    return [len(part) for part in np.array_split(np.arange(rows), files)]


def _skewed(size: int) -> list[int]:
    """Return the rows of one large file among small ones, smaller all for a quick benchmark."""
    share = min(1.0, size / (_SKEWED_LARGE + _SKEWED_SMALL * _SKEWED_FILES))
    small = max(1, int(_SKEWED_SMALL * share))
    return [small] * 50 + [max(1, int(_SKEWED_LARGE * share))] + [small] * 49


def _write_rows(folder: Path, layout: str, rows_of_files: list[int]) -> None:
    first = 0
    for number, rows in enumerate(rows_of_files):
        random = np.random.default_rng([number, rows])
        table = narrow_rows(random, first, rows)
        if layout == "mixed":
            table = _mixed(random, table)
        pq.write_table(table, folder / f"{number:05}.parquet", row_group_size=ROWS_OF_A_GROUP)
        first += rows


def _link_rows(folder: Path, source: Path, copies: int) -> None:
    for number in range(copies):
        for file in sorted(source.iterdir()):
            (folder / f"{number:02}-{file.name}").hardlink_to(file)


def narrow_rows(random: Random, first: int, rows: int) -> pa.Table:
    """Return an id and 28 floats for each row."""
    columns = {name: pa.array(random.standard_normal(rows, dtype=np.float32)) for name in FEATURES}
    return pa.table({"id": pa.array(np.arange(first, first + rows)), **columns})


def _mixed(random: Random, table: pa.Table) -> pa.Table:
    """Return the table with NULLs in its floats, small integers as its last features, and 20 columns to carry."""
    rows = table.num_rows
    for name in FEATURES:
        if name in _SMALL_INTEGERS:
            column = pa.array(random.integers(-3, 4, rows).astype("int16"))
        else:
            column = pc.if_else(pa.array(random.random(rows) < _NULLS), pa.scalar(None, pa.float32()), table[name])
        table = table.set_column(table.column_names.index(name), name, column)
    for name, column in zip(CARRIED, _carried(random, rows), strict=True):
        table = table.append_column(name, column)
    return table


def _carried(random: Random, rows: int) -> list[pa.Array]:
    """Return columns of ten types, each without and with NULLs."""
    integers = random.integers(0, 2**62, rows)
    small = integers % 1_000
    words = pa.array([f"customer {number}" for number in range(1_000)])
    cents = pa.array([Decimal(number) / 100 for number in range(1_000)], pa.decimal128(12, 2))
    start = np.datetime64(datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None), "us")
    columns = [
        pa.array(integers),
        pa.array(small.astype("int32")),
        pa.array(random.standard_normal(rows)),
        pa.array(random.standard_normal(rows, dtype=np.float32)),
        words.take(pa.array(small)),
        pc.binary_join_element_wise(words.take(pa.array(small)), pc.cast(pa.array(integers), pa.string()), " "),
        pa.array(small % 2 == 0),
        pa.array(start + small.astype("timedelta64[s]")).cast(pa.timestamp("us", "UTC")),
        pa.array((start + small.astype("timedelta64[D]")).astype("datetime64[D]")),
        cents.take(pa.array(small)),
    ]
    gone = pa.array(random.random(rows) < _NULLS)
    return [*columns, *(pc.if_else(gone, pa.scalar(None, column.type), column) for column in columns)]


def _write_images(folder: Path, size: int) -> None:
    from PIL import Image

    random = np.random.default_rng(7)
    for number in range(size):
        content = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(content, "PNG")
        (folder / f"{number:06}.png").write_bytes(content.getvalue())


def _write_bytes(folder: Path, size: int) -> None:
    random = np.random.default_rng(8)
    # Every file a hundred times smaller where only a few are asked for.
    scale = 1 if size >= _SKEWED_FILES else 100
    for number in range(size):
        length = (64_000_000 if number == size // 2 else 100_000) // scale
        (folder / f"{number:06}.bin").write_bytes(random.bytes(length))


def _write_tiny(folder: Path, size: int) -> None:
    for number in range(size):
        (folder / f"{number:06}.txt").write_bytes(b"x")


_FILES: Final[Mapping[str, Callable[[Path, int], Any]]] = {
    "images": _write_images,
    "bytes": _write_bytes,
    "tiny": _write_tiny,
}
