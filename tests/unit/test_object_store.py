from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkscore.object_store import Keys, ObjectStore, is_of_store, opened, reason_of, size_in
from tests.support.s3_server import ACCESS, SECRET, S3Server, s3_server

PATH = "s3a://bucket/in/a b%41ü.parquet"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path) as server:
        file = server.path("bucket", "in/a b%41ü.parquet")
        file.parent.mkdir(parents=True)
        pq.write_table(pa.table({"id": range(10)}), file)
        yield server


def store_at(server: S3Server, *, is_anonymous: bool = False, secret: str | None = SECRET) -> ObjectStore:
    keys = None if secret is None else Keys(ACCESS, secret)
    return ObjectStore(server.endpoint, "http", "us-east-1", is_anonymous=is_anonymous, keys=keys)


def test_an_object_is_read_as_it_is_named(server: S3Server) -> None:
    assert pq.read_table(opened(PATH, store_at(server)))["id"].to_pylist() == list(range(10))
    assert {path for _, path, _ in server.requests} == {"bucket/in/a b%41ü.parquet"}
    assert server.signed_by == {ACCESS}


def test_a_path_stays_a_path_where_there_is_no_store() -> None:
    assert opened("/in/a.parquet", None) == "/in/a.parquet"


def test_the_text_of_a_store_has_no_secret_and_a_worker_gets_them_all(server: S3Server) -> None:
    store = ObjectStore(server.endpoint, "http", "us-east-1", keys=Keys(ACCESS, SECRET, "a-token"))

    assert not [secret for secret in (ACCESS, SECRET, "a-token") if secret in f"{store} {store.keys}"]
    assert pickle.loads(pickle.dumps(store)) == store  # noqa: S301 - a test


def test_requests_of_an_anonymous_store_are_not_signed(server: S3Server) -> None:
    server.is_open = True

    store_at(server, is_anonymous=True, secret=None).state_of(PATH)

    assert server.signed_by == {""}


def test_a_store_without_keys_uses_those_of_the_process(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # another store, which must not be asked

    state = store_at(server, secret=None).state_of(PATH)

    assert size_in(state) == server.path("bucket", "in/a b%41ü.parquet").stat().st_size


@pytest.mark.parametrize("change", ["content", "time"])
def test_the_state_of_an_object_is_another_if_it_was_written_again(server: S3Server, change: str) -> None:
    store, file = store_at(server), server.path("bucket", "in/a b%41ü.parquet")
    before, status = store.state_of(PATH), file.stat()
    assert store.state_of(PATH) == before

    if change == "content":
        content = bytearray(file.read_bytes())
        content[10] ^= 1
        file.write_bytes(content)
    moment = status.st_mtime_ns + (3_000_000_000 if change == "time" else 0)
    os.utime(file, ns=(moment, moment))

    assert size_in(store.state_of(PATH)) == size_in(before)
    assert store.state_of(PATH) != before


def test_a_refusal_of_the_store_is_told_without_its_own_text(server: S3Server) -> None:
    anonymous = store_at(server, is_anonymous=True, secret=None)

    with pytest.raises(OSError, match="AWS Error") as caught:
        anonymous.state_of(PATH)

    assert is_of_store(caught.value)
    assert reason_of(caught.value) == "AWS Error ACCESS_DENIED during HeadObject operation"


def test_an_object_that_is_not_there_is_not_found(server: S3Server) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        store_at(server).state_of("s3a://bucket/in/none")

    assert not is_of_store(caught.value)


def test_a_code_that_the_library_does_not_know_is_told() -> None:
    text = (
        "AWS Error UNKNOWN (HTTP status 400) during GetObject operation: Unable to parse ExceptionName: {} Message: {}"
    )

    assert reason_of(OSError(text.format("ExpiredToken", "It is a-s3cret"))) == (
        "AWS Error UNKNOWN (HTTP status 400) during GetObject operation (ExpiredToken)"
    )
