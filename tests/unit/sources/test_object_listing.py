from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sparkscore.errors import SourceError, SourceNotFoundError
from sparkscore.location import folder_text
from sparkscore.object_store import Keys, ObjectStore
from sparkscore.sources.listing import Listing, list_files
from sparkscore.sources.object_listing import list_objects
from tests.support.s3_server import ACCESS, SECRET, S3Server, s3_server

NAMES = (
    *("in/a.parquet", "in/b c.parquet", "in/ü%41.parquet", "in/_SUCCESS", "in/.a.parquet.crc", "in/empty.parquet"),
    *("in/day=1/a.parquet", "in/day=1/_hidden/a.parquet", "in/day=1/_hidden/b.parquet", "in/_k=v/a.parquet"),
    *("in/x/y/z/a.parquet", "in/a.parquet._COPYING_", "in2/a.parquet"),
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path) as server:
        for name in NAMES:
            file = server.path("bucket", name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("" if "empty" in name else name)
        yield server


def listed(server: S3Server, *locations: str, keys: Keys | None = None) -> Listing:
    store = ObjectStore(server.endpoint, "http", "us-east-1", keys=keys or Keys(ACCESS, SECRET))
    return list_objects(store, locations)


@pytest.mark.parametrize("location", ["s3a://bucket/in", "s3a://bucket/in/", "s3a://bucket", "s3a://bucket/in/day=1"])
def test_a_folder_has_the_files_that_it_has_on_a_disk(server: S3Server, location: str) -> None:
    found = listed(server, location)

    local = list_files([str(server.folder / location.removeprefix("s3a://"))])
    assert [file.path.removeprefix("s3a:/") for file in found.files] == [
        file.path.removeprefix(str(server.folder)) for file in local.files
    ]
    assert [file.size_bytes for file in found.files] == [file.size_bytes for file in local.files]
    assert [file.modified_ns // 10**9 for file in found.files] == [file.modified_ns // 10**9 for file in local.files]
    assert found.skipped == local.skipped
    assert found.folder is not None
    assert folder_text(found.folder) == location.rstrip("/")


def test_an_object_is_its_own_listing_and_counts_once(server: S3Server) -> None:
    found = listed(server, "s3a://bucket/in/a.parquet", "s3a://bucket/in/a.parquet")

    assert [file.path for file in found.files] == ["s3a://bucket/in/a.parquet"]
    assert found.skipped == {"named more than once": 1}
    assert found.folder is None


@pytest.mark.parametrize("location", ["s3a://bucket/none", "s3a://other/in", "s3a://bucket/in/*.parquet"])
def test_a_location_without_objects_is_not_found(server: S3Server, location: str) -> None:
    with pytest.raises(SourceNotFoundError) as caught:
        listed(server, location)

    assert caught.value.code == "INPUT_NOT_FOUND"


@pytest.mark.parametrize(
    "location", ["s3a://bucket", "s3a://bucket/in", "s3a://bucket/in/day=1", "s3a://bucket/in/a.parquet"]
)
def test_no_part_of_a_delta_table_is_listed(server: S3Server, location: str) -> None:
    log = server.path("bucket", "in/_delta_log/00000000000000000000.json")
    log.parent.mkdir()
    log.write_text("{}")

    with pytest.raises(SourceError, match="'s3a://bucket/in' is a Delta table") as caught:
        listed(server, location)

    assert caught.value.code == "INPUT_IS_DELTA"


@pytest.mark.parametrize("location", ["s3a://bucket/in//day=1", "s3a://bucket/in/../in2", "s3a://"])
def test_names_that_hadoop_would_write_otherwise_are_refused(server: S3Server, location: str) -> None:
    with pytest.raises(SourceError) as caught:
        listed(server, location)

    assert caught.value.code == "INPUT_NAME"


def test_a_store_that_refuses_says_so_without_the_key(server: S3Server) -> None:
    with pytest.raises(SourceError, match="AWS Error ACCESS_DENIED during ") as caught:
        listed(server, "s3a://bucket/in", keys=Keys("AKIANOBODY", "no-secret"))

    assert caught.value.code == "INPUT_UNREADABLE"
    assert "NOBODY" not in str(caught.value)
    assert "no-secret" not in str(caught.value)
