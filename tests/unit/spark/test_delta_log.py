from __future__ import annotations

import json
from pathlib import Path

import deltalake
import pyarrow as pa
import pytest

from sparkscore.object_store import Keys, ObjectFolder, ObjectStore
from sparkscore.spark.delta_log import METADATA, PROTOCOL, FolderOnDisk, find_actions, read_columns
from tests.support.s3_server import ACCESS, SECRET, s3_server

ROWS = pa.table({"id": pa.array([1, 2], pa.int64()), "deep": [{"a": 1}, {"a": 2}]})


def names(log: Path) -> list[str]:
    return [column["name"] for column in read_columns(log)]


def test_the_columns_of_the_newest_version_are_found_in_commits_and_checkpoints(tmp_path: Path) -> None:
    log = tmp_path / "_delta_log"
    deltalake.write_deltalake(tmp_path, ROWS)
    assert names(log) == ["id", "deep"]

    more = ROWS.append_column("new", pa.array(["metaData", "x"]))
    deltalake.write_deltalake(tmp_path, more, schema_mode="merge", mode="append")
    deltalake.write_deltalake(tmp_path, more, mode="append")
    assert names(log) == ["id", "deep", "new"]

    deltalake.DeltaTable(tmp_path).create_checkpoint()
    for commit in log.glob("*.json"):
        commit.unlink()
    assert names(log) == ["id", "deep", "new"]
    assert [field["name"] for field in read_columns(log)[1]["type"]["fields"]] == ["a"]


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"metaData": {}}', '{"metaData": {"schemaString": "[]"}}', json.dumps({"commitInfo": {"metaData": 1}})],
)
def test_a_log_that_is_kept_otherwise_tells_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / f"{0:020}.json").write_text(text)
    (tmp_path / f"{0:020}.crc").write_text("{}")
    (tmp_path / f"{1:020}.checkpoint.parquet").write_text("no Parquet" if text else "")

    assert read_columns(tmp_path) == []
    assert read_columns(tmp_path / "missing") == []


def test_a_log_in_a_store_tells_the_same_as_on_a_disk(tmp_path: Path) -> None:
    table = tmp_path / "bucket" / "a b"
    deltalake.write_deltalake(table, ROWS)
    deltalake.write_deltalake(table, ROWS, mode="append")
    deltalake.DeltaTable(table).create_checkpoint()
    deltalake.write_deltalake(table, ROWS.append_column("new", pa.array([1, 2])), schema_mode="merge", mode="append")
    local = FolderOnDisk(table / "_delta_log")
    with s3_server(tmp_path) as server:
        store = ObjectStore(server.endpoint, "http", "us-east-1", keys=Keys(ACCESS, SECRET))
        remote = ObjectFolder(store, "s3a://bucket/a b/_delta_log")

        for version in (1, 2, None):
            expected = find_actions(local, version, {METADATA, PROTOCOL})
            assert find_actions(remote, version, {METADATA, PROTOCOL}) == expected
            assert set(expected) == {METADATA, PROTOCOL}
