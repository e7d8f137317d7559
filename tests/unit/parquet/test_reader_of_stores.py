"""The reader of the workers on objects in a store: the rows of the same file on a disk, in few requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkscore.errors import SourceError
from sparkscore.object_store import Keys, ObjectStore
from sparkscore.parquet import ColumnRead, FilePart, ParquetReader, fetched
from sparkscore.parquet import reader as reader_module
from sparkscore.survey.parquet_footers import find_as_text, find_footers, footers_in
from tests.support.s3_server import ACCESS, SECRET, S3Server, s3_server

COLUMNS = 28
ROWS = 20_000
READER = ParquetReader(tuple(ColumnRead(f"x{number}", pa.float32()) for number in range(COLUMNS)))
PATH = "s3a://bucket/in/a.parquet"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path) as server:
        file = server.path("bucket", "in/a.parquet")
        file.parent.mkdir(parents=True)
        values = np.random.default_rng(1).random((COLUMNS, ROWS), np.float32)
        table = pa.table({f"x{number}": values[number] for number in range(COLUMNS)})
        pq.write_table(table, file, row_group_size=ROWS // 2, use_dictionary=False)
        yield server


def from_store(server: S3Server, secret: str = SECRET) -> ParquetReader:
    keys = Keys(ACCESS if secret == SECRET else "AKIANOBODY", secret)
    return replace(READER, store=ObjectStore(server.endpoint, "http", "us-east-1", keys=keys))


def rows_of(reader: ParquetReader, part: FilePart) -> pa.Table:
    return pa.Table.from_batches(list(reader.read(part)), reader.schema())


@pytest.mark.parametrize(("first", "count"), [(0, ROWS), (ROWS // 2 - 3, 6), (ROWS - 1, 1)])
def test_rows_of_an_object_are_those_of_the_file(server: S3Server, first: int, count: int) -> None:
    local = rows_of(READER, FilePart(str(server.path("bucket", "in/a.parquet")), first, count))

    assert rows_of(from_store(server), FilePart(PATH, first, count)).equals(local)


def test_a_row_group_is_read_in_one_request(server: S3Server) -> None:
    rows_of(from_store(server), FilePart(PATH, 0, ROWS))

    # One for the metadata of the object, one for the footer, and one for each row group of 1 MB.
    assert [method for method, _, _ in server.requests] == ["HEAD", "GET", "GET", "GET"]


def test_columns_that_are_not_read_are_not_fetched(server: S3Server) -> None:
    size = server.path("bucket", "in/a.parquet").stat().st_size

    rows_of(from_store(server).only(["x3"]), FilePart(PATH, 0, ROWS // 2))

    ends = [found.removeprefix("bytes=").split("-") for _, _, found in server.requests if found]
    footer, *groups = [int(last) - int(first) + 1 for first, last in ends]
    assert footer <= 64 * 1024
    assert sum(groups) < size / 28


def test_of_a_row_group_whose_first_rows_are_needed_only_the_start_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetched, "STREAM_BYTES", 1024)
    monkeypatch.setattr(reader_module, "STREAM_BYTES", 1024)
    monkeypatch.setattr(fetched, "_GAP_BYTES", 0)
    numbers = np.random.default_rng(1).integers(0, 10**15, 400_000)
    texts = pa.array([f"text {number % 50}" for number in range(400_000)]).dictionary_encode()
    (tmp_path / "bucket").mkdir()
    file = tmp_path / "bucket" / "a.parquet"
    table = pa.table({"x": numbers, "text": texts})
    pq.write_table(table, file, row_group_size=200_000, data_page_size=8 * 1024, use_dictionary=["text"])
    reader = ParquetReader((ColumnRead("x", pa.int64()), ColumnRead("text", pa.string())))
    local = rows_of(reader, FilePart(str(file), 199_000, 3_000))
    with s3_server(tmp_path) as server:
        found = rows_of(
            replace(reader, store=from_store(server).store), FilePart("s3a://bucket/a.parquet", 199_000, 3_000)
        )

    assert found.equals(local)
    _footer, *ranges = [each.removeprefix("bytes=").split("-") for _, _, each in server.requests if each]
    second = pq.read_metadata(file).row_group(1)
    start = second.column(0).data_page_offset
    sizes = [int(last) - int(first) + 1 for first, last in ranges if int(first) >= start]
    assert 0 < sum(sizes) < second.total_byte_size / 5


def test_a_worker_that_the_store_refuses_says_so_without_its_key(server: S3Server) -> None:
    reader = from_store(server, "no-secret")
    with pytest.raises(SourceError, match="got AWS Error ACCESS_DENIED during HeadObject operation") as caught:
        rows_of(reader, FilePart(PATH, 0, 1))

    assert caught.value.code == "INPUT_UNREADABLE"
    assert "the role of their host" in caught.value.next_step
    assert not [text for text in ("NOBODY", "no-secret") if text in str(caught.value)]
    with pytest.raises(SourceError, match="ACCESS_DENIED"):
        find_footers([PATH], None, reader.store)


def test_a_store_that_is_busy_for_a_moment_is_asked_again(server: S3Server) -> None:
    server.failures += [
        (HTTPStatus.SERVICE_UNAVAILABLE, "SlowDown"),
        (HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError"),
    ]

    rows = rows_of(from_store(server), FilePart(PATH, 0, 3))

    assert (rows.num_rows, server.failures) == (3, [])


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (HTTPStatus.BAD_REQUEST, "ExpiredToken", "HTTP status 400.* must be valid until the run ends"),
        (HTTPStatus.NOT_FOUND, "NoSuchKey", "removed or replaced while it was read"),
        (HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "InvalidRange", "removed or replaced while it was read"),
    ],
)
def test_the_answer_of_a_store_is_told_with_what_to_do(
    server: S3Server, status: HTTPStatus, code: str, told: str
) -> None:
    reader = from_store(server)
    rows = reader.read(FilePart(PATH, 0, ROWS))
    next(rows)
    server.failures += [(status, code)]

    with pytest.raises(SourceError, match=told) as caught:
        list(rows)

    assert caught.value.code == "INPUT_UNREADABLE"


def test_an_object_that_was_removed_is_told_as_a_file_is(server: S3Server) -> None:
    server.path("bucket", "in/a.parquet").unlink()

    with pytest.raises(SourceError, match="removed during the run") as caught:
        rows_of(from_store(server), FilePart(PATH, 0, 1))

    assert caught.value.code == "INPUT_UNREADABLE"


def test_an_object_with_fewer_rows_was_changed(server: S3Server) -> None:
    pq.write_table(pa.table({"x0": [0.5]}), server.path("bucket", "in/a.parquet"))

    with pytest.raises(SourceError) as caught:
        rows_of(from_store(server).only(["x0"]), FilePart(PATH, 0, ROWS))

    assert caught.value.code == "INPUT_CHANGED"


def test_footers_in_a_store_are_those_of_the_files(server: S3Server) -> None:
    server.path("bucket", "in/b.parquet").write_bytes(b"PAR1")
    names = ("a", "b", "none")
    local = find_footers([str(server.path("bucket", f"in/{name}.parquet")) for name in names], None)
    paths = tuple(f"s3a://bucket/in/{name}.parquet" for name in names)
    store = from_store(server).store
    assert store is not None

    found = find_footers(paths, None, store)

    assert [file and file._replace(state="") for file in found.files] == local.files
    assert found.nulls == local.nulls
    assert [file and file.state for file in found.files] == [store.state_of(PATH), None, None]
    assert footers_in(find_as_text((paths, None, store))) == found


def test_a_footer_and_the_state_of_its_object_need_two_requests(server: S3Server) -> None:
    find_footers([PATH], None, from_store(server).store)

    assert [method for method, _, _ in server.requests] == ["HEAD", "GET"]
