"""Many files and many rows on a cluster whose workers have nothing: exact counts, and memory that does not grow."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

import sparkscore
from tests.support.cluster import Cluster, standalone_cluster
from tests.support.ledger import read_table
from tests.support.memory import python_memory_of

DRIVE: Final = Path(__file__).parents[1] / "support" / "drive.py"
PACKAGE: Final = Path(sparkscore.__file__).parent
FILES: Final = 10_000
ROWS: Final = 5_000_000
ROW_GROUP: Final = 100_000
# Garbage of Python and of allocators comes and goes; a leak of one mini-batch in five would be more than this.
MOST_GROWTH: Final = 1.07

IMAGES: Final = """
from PIL import Image

def run(paths):
    found = []
    for path in paths:
        with Image.open(path) as image:
            found.append(sum(image.tobytes()))
    return found
"""
ARITHMETIC: Final = """
def run(frame):
    if frame["id"].iloc[0] % 1_000_000 == 0:
        raise ValueError("this row is refused")
    return list(frame["a"] * 2 + frame["b"])
"""

pytestmark = [pytest.mark.timeout(900)]


def score_on(cluster: Cluster, folder: Path, deployment: Path, options: Mapping[str, object]) -> dict[str, Any]:
    """Score in a driver process of its own, and return the run record with the growth of the workers' memory."""
    request = folder / "request.json"
    content = {"master": str(cluster), "deployment": str(deployment), "runs": str(folder / "runs"), **options}
    request.write_text(json.dumps(content))
    with python_memory_of(process.pid for process in cluster.hosts.values()) as memory:
        ended = subprocess.run(
            [sys.executable, str(DRIVE), str(request)],
            cwd=folder,
            env=os.environ | {"PYSPARK_PYTHON": sys.executable},
            capture_output=True,
            text=True,
            timeout=800,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr[-4000:]
    assert memory.growth() < MOST_GROWTH
    record: dict[str, Any] = json.loads(ended.stdout)
    return record


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Return three new folders: one that only the driver sees, one that all see, and one for the cluster's logs."""
    folders = tmp_path / "deployment", tmp_path / "shared", tmp_path / "logs"
    for folder in folders[1:]:
        folder.mkdir()
    return folders


def test_ten_thousand_images(places: tuple[Path, Path, Path], make_deployment: Callable[..., Path]) -> None:
    driver, shared, logs = places
    write_images(shared / "in", FILES)
    deployment = make_deployment(IMAGES, settings={"mini_batch_size": 50})

    with standalone_cluster(logs, hidden=(driver, PACKAGE)) as cluster:
        options = {"input": f"{shared}/in/**/*.png", "output": f"{shared}/out", "input_format": "files"}
        record = score_on(cluster, driver, deployment, options)

    table = read_table(shared / "out")
    assert record["counts"]["items"] == record["counts"]["scored"] == FILES == table.num_rows
    assert record["counts"]["mini_batches"] == FILES // 50
    found = {Path(path).stem: value for path, value in zip(*(table[name].to_pylist() for name in NAMES), strict=True)}
    assert found == {f"{number:05d}": sum_of(number) for number in range(FILES)}


NAMES: Final = ("source_file", "prediction")


def test_five_million_rows(places: tuple[Path, Path, Path], make_deployment: Callable[..., Path]) -> None:
    driver, shared, logs = places
    write_rows(shared / "in")
    deployment = make_deployment(
        ARITHMETIC, output={"carry": ["id"]}, settings={"mini_batch_size": 5_000, "error_threshold": 10}
    )

    with standalone_cluster(logs, hidden=(driver, PACKAGE)) as cluster:
        options = {"input": f"{shared}/in", "output": f"{shared}/out", "output_format": "delta"}
        record = score_on(cluster, driver, deployment, options)

    table = read_table(shared / "out")
    assert record["counts"]["items"] == ROWS
    assert (record["counts"]["failed"], table.num_rows) == (5, ROWS - 5)
    ids = table["id"].combine_chunks()
    assert pc.count_distinct(ids).as_py() == ROWS - 5
    expected = pc.add(pc.multiply(pc.divide(pc.cast(ids, pa.float64()), 7), 2), pc.negate(pc.cast(ids, pa.float64())))
    assert table["prediction"].combine_chunks().equals(expected)


def write_images(folder: Path, count: int) -> None:
    for number in range(count):
        if number % 1000 == 0:
            (folder / str(number // 1000)).mkdir(parents=True)
        content = io.BytesIO()
        Image.fromarray(pixels(number)).save(content, "PNG")
        (folder / str(number // 1000) / f"{number:05d}.png").write_bytes(content.getvalue())


def pixels(number: int) -> np.ndarray:
    """Return a gray image of 8 x 8 pixels that is different for each number."""
    return ((np.arange(64, dtype=np.uint64) * (number + 1)) % 251).astype(np.uint8).reshape(8, 8)


def sum_of(number: int) -> int:
    return int(pixels(number).sum())


def write_rows(folder: Path) -> None:
    folder.mkdir()
    for first in range(0, ROWS, ROWS // 10):
        ids = np.arange(first, first + ROWS // 10)
        table = pa.table({"id": ids, "a": ids / 7, "b": -ids.astype("float64")})
        pq.write_table(table, folder / f"{first}.parquet", row_group_size=ROW_GROUP)
