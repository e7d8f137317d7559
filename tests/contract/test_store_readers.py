"""Parquet files in an S3 store, which the workers read, against Spark's reader on the same files on the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

import sparkscore
from sparkscore.config import Input
from sparkscore.errors import ConfigError, SourceError
from sparkscore.sources import PlannedRows, Source, object_stores, open_source
from sparkscore.sources import footers as footers_module
from sparkscore.spark.jvm_hadoop import find_s3_settings
from tests.support.all_types import write_all_types
from tests.support.both_readers import check_same_rows, read_by_spark, read_by_workers, texts_of
from tests.support.ledger import check_ledger, read_table
from tests.support.s3_server import ACCESS, SECRET, S3Server, s3_server
from tests.support.settings import session_settings

MakeDeployment = Callable[..., Path]
SCRIPT = """
import hashlib

def run(frame):
    return [hashlib.sha256(repr(row).encode()).hexdigest() for row in frame.drop(columns="id").values.tolist()]
"""

TABLE = (
    """
    CREATE TABLE {t} USING delta PARTITIONED BY (text, at) TBLPROPERTIES (delta.checkpointInterval = 2) AS
    SELECT id, id / 3 AS x, IF(id = 3, NULL, concat('a+b/c%20=é ', id % 3)) AS text,
           TIMESTAMP'2026-11-01 05:30:00.123456Z' AS at FROM range(0, 9, 1, 1)
    """,
    "ALTER TABLE {t} ADD COLUMN late STRING",
    "INSERT INTO {t} VALUES (1000, 0.5, 'y', TIMESTAMP'1999-01-01', 'z')",
)


@pytest.fixture
def server(spark: SparkSession, tmp_path: Path) -> Iterator[S3Server]:
    """Serve a folder, and let the session reach it, as Spark's reader would."""
    (tmp_path / "store" / "bucket").mkdir(parents=True)
    with s3_server(tmp_path / "store") as server:
        for name, value in server.settings().items():
            spark.conf.set(name, value)
        yield server
        for name in server.settings():
            spark.conf.unset(name)


def opened(spark: SparkSession, location: Path | str, **more: Any) -> Source:
    config = Input.model_validate({"location": [str(location)], "format": "parquet"} | more)
    return open_source(spark, config, is_files_by_default=False)


def test_all_types_and_keys_have_the_values_of_sparks_reader(
    spark: SparkSession, server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = server.path("bucket", "a b%41/in")
    write_all_types(folder)
    # As for thousands of files, the workers read the footers.
    monkeypatch.setattr(footers_module, "_MOST_HERE", 1)
    local, remote = opened(spark, folder), opened(spark, "s3a://bucket/a b%41/in")

    planned = remote.planned_rows()
    assert isinstance(planned, PlannedRows), planned
    expected, found = read_by_spark(local), read_by_workers(planned)

    assert found.schema.equals(expected.schema, check_metadata=True)
    assert texts_of(found) == texts_of(expected)
    assert remote.snapshot.items == local.snapshot.items
    assert remote.count_nulls(found.column_names) == local.count_nulls(found.column_names)


def test_a_run_over_a_store_has_the_result_of_a_run_over_the_files(
    spark: SparkSession, server: S3Server, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    folder = server.path("bucket", "in")
    for number in range(5):
        place = folder / f"day={number % 2}%3A"
        place.mkdir(parents=True, exist_ok=True)
        ids = range(number * 100, number * 100 + 100)
        rows = pa.table({"id": ids, "x": [each / 3 for each in ids], "text": [f"row {each}" for each in ids]})
        pq.write_table(rows, place / f"{number}%20.parquet", row_group_size=30)
    deployment = make_deployment(SCRIPT, settings={"mini_batch_size": 40})
    runs = [
        sparkscore.score(
            spark,
            deployment,
            input=location,
            output=tmp_path / reader,
            run_id=f"by-{reader}",
            settings={"input.format": "parquet", "input.reader": reader},
        )
        for reader, location in (("spark", folder), ("worker", "s3a://bucket/in"))
    ]

    by_spark, by_workers = (
        sorted(read_table(tmp_path / reader).to_pylist(), key=lambda row: row["id"]) for reader in ("spark", "worker")
    )
    same = [{**row, "run_id": "", "scored_at": None} for row in by_spark]
    assert same == [
        {
            **row,
            "run_id": "",
            "scored_at": None,
            "source_file": row["source_file"].replace("s3a://bucket/in", str(folder)),
        }
        for row in by_workers
    ]
    record = runs[1].record
    assert (record["input"]["reader"], record["input"]["reader_reason"]) == ("worker", None)
    assert record["input"]["location"] == "s3a://bucket/in"
    check_ledger(record, tmp_path / "runs", range(500))
    kept = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    kept += [path for path in (tmp_path / "worker").rglob("*") if path.is_file()]
    assert not [path for path in kept for key in (ACCESS, SECRET) if key.encode() in path.read_bytes()]


def test_an_object_that_changes_during_a_run_stops_it(spark: SparkSession, server: S3Server) -> None:
    folder = server.path("bucket", "in")
    folder.mkdir()
    for name in "ab":
        pq.write_table(pa.table({"id": [1, 2, 3]}), folder / f"{name}.parquet")
    source = opened(spark, "s3a://bucket/in")
    source.check_unchanged()

    pq.write_table(pa.table({"id": [1, 2, 4]}), folder / "b.parquet")

    with pytest.raises(SourceError, match=r"among them 's3a://bucket/in/b\.parquet'") as caught:
        source.check_unchanged()
    assert caught.value.code == "INPUT_CHANGED"


def test_what_spark_must_read_is_refused_where_spark_does_not_reach_the_store(
    spark: SparkSession, server: S3Server
) -> None:
    folder = server.path("bucket", "in")
    folder.mkdir()
    pq.write_table(pa.table({"id": [1]}), folder / "a.parquet")
    source = opened(spark, "s3a://bucket/in", options={"datetimeRebaseMode": "LEGACY"})

    with pytest.raises(ConfigError, match="hadoop-aws") as caught:
        source.planned_rows()

    assert caught.value.code == "LOCATION_REMOTE"
    assert "datetimeRebaseMode" in str(caught.value)
    with pytest.raises(ConfigError, match="hadoop-aws"):
        source.frame()


def test_a_setting_that_is_not_known_is_named_before_anything_is_read(spark: SparkSession, server: S3Server) -> None:
    spark.conf.set("fs.s3a.bucket.bucket.endpoint", "http://127.0.0.1:1")
    try:
        with pytest.raises(ConfigError, match=r"the session sets 'fs\.s3a\.bucket\.bucket\.endpoint'"):
            opened(spark, "s3a://bucket/in")
    finally:
        spark.conf.unset("fs.s3a.bucket.bucket.endpoint")

    assert server.requests == []


@pytest.fixture
def tables(spark: SparkSession, server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let Spark, which has no connector here, read 's3a://tables/in' from the disk, and return this folder."""
    folder = server.path("tables", "in")
    folder.mkdir(parents=True)
    found = find_s3_settings(spark)
    assert found is not None
    monkeypatch.setattr(object_stores, "find_s3_settings", lambda _: replace(found, has_connector=True))
    mounts = {
        "fs.s3a.impl": "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme",
        "fs.s3a.impl.disable.cache": "true",
        "fs.viewfs.overload.scheme.target.file.impl": "org.apache.hadoop.fs.LocalFileSystem",
        "fs.viewfs.mounttable.tables.link./in": folder.as_uri(),
    }
    with session_settings(spark, mounts):
        yield folder


def test_a_delta_table_in_a_store_has_the_rows_of_sparks_reader(
    spark: SparkSession, server: S3Server, tables: Path
) -> None:
    for statement in TABLE:
        spark.sql(statement.format(t=f"delta.`{tables}/a b%20é`"))

    source = opened(spark, "s3a://tables/in/a b%20é", format="delta")
    found = check_same_rows(source)

    assert found is not None
    assert found.num_rows == 10
    assert {path.partition("/a b%20é/")[0] for _, path, _ in server.requests} >= {"tables/in"}
    assert source.count_nulls(["id", "late"]) == {"id": 0}
    source.check_unchanged()
    older = check_same_rows(opened(spark, "s3a://tables/in/a b%20é/", format="delta", version=0))
    assert older is not None
    assert older.num_rows == 9


def test_a_delta_table_is_sparks_if_the_driver_cannot_read_from_the_store(
    spark: SparkSession, server: S3Server, tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deltalake.write_deltalake(tables / "t", pa.table({"id": [1, 2, 3]}))
    source = opened(spark, "s3a://tables/in/t", format="delta")
    monkeypatch.setattr(server, "failures", [(HTTPStatus.FORBIDDEN, "AccessDenied")] * 99)

    assert source.planned_rows() == (
        "the driver cannot read from the store without Spark: AWS Error ACCESS_DENIED during HeadObject operation"
    )
    assert source.count_nulls(["id"]) == {}

    with session_settings(spark, {"fs.s3a.bucket.tables.endpoint": "elsewhere"}):
        monkeypatch.undo()
        assert "fs.s3a.bucket.tables.endpoint" in str(opened(spark, "s3a://tables/in/t", format="delta").planned_rows())
