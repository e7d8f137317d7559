"""One byte of a page of a Parquet file flips: the value is never scored, the run fails with the file's name."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sparkscore
from tests.support.ledger import read_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeDeployment = Callable[..., Path]
VALUE = 123_456_789
ROWS = pa.table({"id": pa.array([1, VALUE, 2**40] * 50, pa.int64())})
DOUBLES = "def run(frame): return (frame['id'] * 2).tolist()"


def flip(path: Path) -> None:
    """Change one value, in the place where it stands in a page."""
    content = bytearray(path.read_bytes())
    content[content.index(struct.pack("<q", VALUE))] ^= 2
    path.write_bytes(content)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("has_dictionary", [False, True])
def test_a_flipped_byte_of_a_parquet_input_is_found(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, version: str, *, has_dictionary: bool
) -> None:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "rows.parquet"
    layout: dict[str, Any] = {"data_page_version": version, "use_dictionary": has_dictionary, "compression": "none"}
    pq.write_table(ROWS, path, write_page_checksum=True, **layout)
    options: dict[str, Any] = {"input": tmp_path / "in", "output": tmp_path / "out", "output_format": "parquet"}
    deployment = make_deployment(DOUBLES, isolation="none")
    flip(path)
    assert pq.read_table(path)["id"].to_pylist() != ROWS["id"].to_pylist()

    with pytest.raises(sparkscore.SparkscoreError, match=r"\[INPUT_UNREADABLE\]") as caught:
        sparkscore.score(spark, deployment, **options)

    assert str(path) in str(caught.value)
    assert not list((tmp_path / "out").glob("run_id=*"))


def test_a_flipped_byte_of_a_delta_input_is_found(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    frame = spark.createDataFrame(ROWS).coalesce(1)
    frame.write.format("delta").option("compression", "none").option("parquet.enable.dictionary", "false").save(
        str(tmp_path / "in")
    )
    path = next((tmp_path / "in").glob("part-*.parquet"))
    flip(path)
    for crc in path.parent.glob(".*.crc"):
        crc.unlink()

    deployment = make_deployment(DOUBLES, isolation="none")
    with pytest.raises(sparkscore.SparkscoreError, match=r"\[INPUT_UNREADABLE\]") as caught:
        sparkscore.score(spark, deployment, input=tmp_path / "in", output=tmp_path / "out", output_format="parquet")
    assert path.name in str(caught.value)


@pytest.mark.parametrize("has_checksums", [False, True])
def test_whole_files_are_read_with_checksums_and_without(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, *, has_checksums: bool
) -> None:
    pq.write_table(ROWS, tmp_path / "rows.parquet", write_page_checksum=has_checksums)

    deployment = make_deployment(DOUBLES, isolation="none")
    sparkscore.score(spark, deployment, input=tmp_path / "rows.parquet", output=tmp_path / "out")

    table = read_table(tmp_path / "out")
    assert table["prediction"].to_pylist() == [number * 2 for number in table["id"].to_pylist()]
    for file in (tmp_path / "out").rglob("part-*.parquet"):
        pq.read_table(file, page_checksum_verification=True)
