"""How many files a result has, and how large they are, for both formats and whoever writes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrameWriter, SparkSession

import sparkscore
from sparkscore.sinks import file_number
from sparkscore.spark.jobs import task_slots
from sparkscore.stage import StagedFile

MakeDeployment = Callable[..., Path]
KB = 1024
ROWS = 40_000
SHOPS = 4
KEYS = ds.partitioning(pa.schema([("run_id", pa.string()), ("shop", pa.int64())]), flavor="hive")
SCRIPT = "def run(frame): return [float(value) for value in frame['x']]"


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose shops alternate, so that each chunk has rows of all of them. A row takes 16 bytes in the result."""
    folder = tmp_path_factory.mktemp("rows") / "in"
    folder.mkdir()
    ids = np.arange(ROWS)
    table = pa.table({"id": ids, "shop": ids % SHOPS, "x": np.random.default_rng(1).random(ROWS)})
    pq.write_table(table, folder / "rows.parquet")
    return folder


@pytest.fixture(scope="module")
def by_spark(spark: SparkSession, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """The number of files that Spark writes with these rows, without partitions and with one for each shop."""
    folder, frame = tmp_path_factory.mktemp("by_spark"), spark.read.parquet(str(rows))
    return {
        "": files_written(frame.write, folder / "flat"),
        "shop": files_written(frame.write.partitionBy("shop"), folder / "parted"),
    }


def files_written(writer: DataFrameWriter, folder: Path) -> int:
    writer.parquet(str(folder))
    return len(list(folder.rglob("*.parquet")))


def most_files(by_spark: int) -> int:
    """Return how many small files a result may have where Spark writes a number of files."""
    return max(file_number._FEW, file_number._TIMES * by_spark)


@pytest.fixture
def score(
    spark: SparkSession, rows: Path, tmp_path: Path, make_deployment: MakeDeployment
) -> Callable[..., list[Path]]:
    """Score the rows in chunks of 2,000, check that all are in the result, and return its files."""

    def run(output_format: str, **output: Any) -> list[Path]:
        columns = {"carry": ["id", "shop"], "schema": "y double"}
        settings = {
            "chunk_size": 2000,
            "isolation": "none",
            **{f"output.{key}": value for key, value in output.items()},
        }
        done = sparkscore.score(
            spark,
            make_deployment(SCRIPT, output=columns, settings={"mini_batch_size": 1000}),
            input=rows,
            output=tmp_path / "out",
            output_format=output_format,
            run_id="night",
            settings=settings,
        )
        found = read(tmp_path / "out").sort_by("id").to_pydict()
        assert found["id"] == list(range(ROWS))
        assert found["shop"] == [number % SHOPS for number in range(ROWS)]
        assert found["y"] == pq.read_table(rows / "rows.parquet")["x"].to_pylist()
        expected = "spark" if output.get("writer") == "spark" else "worker"
        assert done.record["output"]["writer"] == expected
        if output_format == "delta":
            return [Path(uri) for uri in deltalake.DeltaTable(str(tmp_path / "out")).file_uris()]
        return sorted((tmp_path / "out").rglob("*.parquet"))

    return run


def read(table: Path) -> pa.Table:
    """Return the rows of a result, read with another library than Spark."""
    if (table / "_delta_log").is_dir():
        return deltalake.DeltaTable(str(table)).to_pyarrow_table(columns=["id", "shop", "y"])
    return ds.dataset(table, partitioning=KEYS).to_table(["id", "shop", "y"])


def by_folder(files: list[Path]) -> dict[str, list[int]]:
    """Return the sizes of the files of each partition."""
    sizes = defaultdict(list)
    for file in files:
        sizes[file.parent.name].append(file.stat().st_size)
    return sizes


@pytest.mark.parametrize("output_format", ["delta", "parquet"])
def test_many_small_files_of_partitions_become_one_for_each(
    score: Callable[..., list[Path]], by_spark: dict[str, int], output_format: str
) -> None:
    """There are 80 of them, and Spark writes four."""
    assert by_spark["shop"] == SHOPS
    assert most_files(by_spark["shop"]) < SHOPS * ROWS / 2000

    files = score(output_format, partition_by="shop")

    assert {name: len(sizes) for name, sizes in by_folder(files).items()} == {
        f"shop={number}": 1 for number in range(SHOPS)
    }
    for file in files:
        ids = pq.ParquetFile(file).read(["id"])["id"].to_pylist()
        # A unit has consecutive rows.
        assert sum(after < before for before, after in pairwise(ids)) <= 1


def test_few_files_stay_as_their_chunks(score: Callable[..., list[Path]], by_spark: dict[str, int]) -> None:
    files = score("parquet")

    assert len(files) == ROWS / 2000
    assert by_spark[""] < len(files) <= most_files(by_spark[""])


@pytest.mark.parametrize("count", [20, 70])
def test_spark_writes_as_many_files_as_is_estimated(spark: SparkSession, tmp_path: Path, count: int) -> None:
    staged = tmp_path / "staged"
    staged.mkdir()
    for number in range(count):
        pq.write_table(pa.table({"shop": range(SHOPS), "x": range(SHOPS)}), staged / f"{number}.parquet")
    sizes = [file.stat().st_size for file in staged.iterdir()]
    flat = [StagedFile(f"attempts/0-0a/part-{number}.parquet", 4, size) for number, size in enumerate(sizes)]
    folders = [f"attempts/0-0a/shop={shop}" for shop in range(SHOPS)]
    parted = [StagedFile(f"{folder}/part-0.parquet", 1, size) for size in sizes for folder in folders]

    frame = spark.read.parquet(str(staged))
    found = files_written(frame.write, tmp_path / "flat")
    found_of_shops = files_written(frame.hint("rebalance", "shop").write.partitionBy("shop"), tmp_path / "parted")

    assert file_number.files_of_spark(flat, task_slots(spark)) == found
    assert file_number.files_of_spark(parted, task_slots(spark)) == found_of_shops


@pytest.mark.parametrize(
    ("output_format", "writer", "partition_by"),
    [
        ("delta", "auto", ()),
        ("delta", "spark", ()),
        ("delta", "spark", ("shop",)),
        ("parquet", "auto", ("shop",)),
    ],
)
def test_files_have_about_the_size_that_is_asked_for(
    score: Callable[..., list[Path]], output_format: str, writer: str, partition_by: tuple[str, ...]
) -> None:
    files = score(output_format, target_file_size="128KB", writer=writer, partition_by=list(partition_by))

    folders = by_folder(files)
    assert len(folders) == (SHOPS if partition_by else 1)
    for sizes in folders.values():
        assert max(sizes) < 1.5 * 128 * KB
        assert len(sizes) <= 2 * sum(sizes) / (128 * KB) + 1
