from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sparkscore.errors import SourceError
from sparkscore.object_store import Keys, ObjectStore
from sparkscore.plan import InputFile, digest_of_files
from sparkscore.sources import samples
from sparkscore.sources.listing import list_files
from sparkscore.sources.object_listing import list_objects
from sparkscore.sources.samples import check_files_unchanged, with_samples, with_states
from sparkscore.survey import each_file
from tests.support.s3_server import ACCESS, SECRET, S3Server, s3_server

SHARE = 1024 * 1024
LARGE = SHARE + 100_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.csv", "b.csv", "empty.csv"):
        (folder / name).write_text("" if name == "empty.csv" else f"{name} and what is in it")
    return folder


def pinned(folder: Path) -> tuple[InputFile, ...]:
    return with_samples(list_files([str(folder)]).files)


def test_files_that_stay_as_they_were_pass(folder: Path) -> None:
    check_files_unchanged(pinned(folder))


def change_size(path: Path) -> None:
    status = path.stat()
    path.write_text("longer than before")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    "change", [Path.unlink, change_size, lambda path: os.utime(path, ns=(1, 1))], ids=["gone", "size", "time"]
)
def test_a_file_that_changed_stops_the_run(change: object, folder: Path) -> None:
    files = pinned(folder)
    change(folder / "b.csv")  # type: ignore[operator]

    with pytest.raises(SourceError) as caught:
        check_files_unchanged(files)

    assert caught.value.code == "INPUT_CHANGED"
    assert f"1 input files, among them '{folder / 'b.csv'}'" in caught.value.what


def replace_in_place(path: Path, content: bytes) -> None:
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace_by_rename(path: Path, content: bytes) -> None:
    other = path.with_name("other")
    other.write_bytes(content)
    status = path.stat()
    other.replace(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


REPLACE = [replace_in_place, replace_by_rename]


@pytest.mark.parametrize("replace", REPLACE)
def test_other_contents_under_the_old_size_and_time_stop_the_run(
    replace: Callable[[Path, bytes], None], folder: Path
) -> None:
    files = pinned(folder)
    content = (folder / "b.csv").read_bytes()
    replace(folder / "b.csv", content[:10] + b"X" + content[11:])
    assert (folder / "b.csv").stat().st_mtime_ns == files[1].modified_ns

    with pytest.raises(SourceError, match=r"\[INPUT_CHANGED\].*b\.csv"):
        check_files_unchanged(files)
    # A run that is taken up must not go on with it either.
    assert digest_of_files(pinned(folder)) != digest_of_files(files)


@pytest.mark.parametrize(
    "touch",
    [
        lambda path: path.chmod(0o600),
        lambda path: (path.parent.parent / "link").hardlink_to(path),
        lambda path: path.rename(path.with_name("x")) and path.with_name("x").rename(path),
        lambda path: replace_in_place(path, path.read_bytes()),
        lambda path: replace_by_rename(path, path.read_bytes()),
    ],
    ids=["chmod", "link", "renamed and back", "written again", "restored from a copy"],
)
def test_the_same_contents_pass_whatever_else_changed(touch: Callable[[Path], object], folder: Path) -> None:
    files = pinned(folder)
    touch(folder / "b.csv")
    status = (folder / "b.csv").stat()
    assert (status.st_ino, status.st_ctime_ns) != (files[1].inode, files[1].changed_ns)

    check_files_unchanged(files)

    assert digest_of_files(pinned(folder)) == digest_of_files(files)


@pytest.mark.parametrize("replace", REPLACE)
@pytest.mark.parametrize("position", [0, LARGE // 63 + 100, LARGE - 1], ids=["start", "between", "end"])
def test_of_a_large_file_the_sample_reaches_from_start_to_end(
    replace: Callable[[Path, bytes], None], position: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "_ALL_BYTES", SHARE)
    path = tmp_path / "large.bin"
    path.write_bytes(bytes(LARGE))
    files = pinned(tmp_path)
    content = bytearray(LARGE)
    content[position] = 1
    replace(path, bytes(content))

    with pytest.raises(SourceError, match="INPUT_CHANGED"):
        check_files_unchanged(files)


def test_large_samples_are_digested_by_threads_with_the_same_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        (tmp_path / f"{number}.bin").write_bytes(bytes([number]) * 3 * 1024 * 1024)
    by_threads = pinned(tmp_path)
    monkeypatch.setattr(samples, "ThreadPoolExecutor", None)

    with pytest.raises(TypeError):
        pinned(tmp_path)
    monkeypatch.setattr(samples, "_MANY_BYTES", 1 << 40)

    assert pinned(tmp_path) == by_threads
    assert len({file.sample for file in by_threads}) == 4


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 2 * 1024 * 1024 + 5])
def test_the_sample_of_a_small_file_is_all_of_it_and_no_more_is_asked_for(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = random.Random(size).randbytes(size)  # noqa: S311
    (tmp_path / "small.bin").write_bytes(content)
    asked, pread = [], os.pread
    monkeypatch.setattr(os, "pread", lambda file, count, at: asked.append(count) or pread(file, count, at))  # type: ignore[func-returns-value]

    (file,) = pinned(tmp_path)

    assert file.sample == hashlib.sha256(content).hexdigest()
    assert sum(asked) == size  # Python allocates what it is asked for


def test_a_file_that_cannot_be_read_is_its_readers_business(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as refusing:
        refusing.setattr(os, "open", refuse)
        files = pinned(folder)

    check_files_unchanged(files)
    assert [file.sample for file in files] == ["", "", ""]


@pytest.mark.parametrize("slow_s", [1.0, -1.0], ids=["local", "behind a network"])
def test_many_files_are_sampled_quickly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow_s: float) -> None:
    monkeypatch.setattr(each_file, "_SLOW_S", slow_s)
    for number in range(2000):
        (tmp_path / f"{number}.txt").write_bytes(b"x" * 20)
    files = list_files([str(tmp_path)]).files
    start = time.perf_counter()

    sampled = with_samples(files)

    assert time.perf_counter() - start < 5
    assert sampled == files
    assert len({file.sample for file in sampled}) == 1


def test_files_behind_a_network_are_checked_in_threads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(100):
        (folder / f"{number:02}.csv").write_text(str(number))
    files = pinned(folder)
    change_size(folder / "77.csv")
    threads: set[int] = set()
    stat = os.stat

    def slow_stat(path: str) -> os.stat_result:
        threads.add(threading.get_ident())
        time.sleep(0.002)
        return stat(path)

    monkeypatch.setattr(os, "stat", slow_stat)

    with pytest.raises(SourceError, match=r"\[INPUT_CHANGED\] 1 input files, among them '.*/77\.csv'"):
        check_files_unchanged(files)

    assert len(threads) > 1


@pytest.fixture
def server(folder: Path) -> Iterator[S3Server]:
    """Serve the folder of files as a bucket."""
    with s3_server(folder.parent) as server:
        yield server


def objects(server: S3Server, secret: str = SECRET) -> tuple[tuple[InputFile, ...], ObjectStore]:
    store = ObjectStore(server.endpoint, "http", "us-east-1", keys=Keys(ACCESS, secret))
    files = list_objects(store, ["s3a://in"]).files
    return with_states(files, [""] * len(files), store), store


def test_objects_that_stay_as_they_were_pass(server: S3Server) -> None:
    files, store = objects(server)

    check_files_unchanged(files, store)

    assert all(file.sample for file in files)


@pytest.mark.parametrize(
    "change",
    [
        Path.unlink,
        change_size,
        lambda path: os.utime(path, ns=(1, 1)),
        lambda path: replace_in_place(path, path.read_bytes().swapcase()),
    ],
    ids=["gone", "size", "time", "content"],
)
def test_an_object_that_changed_stops_the_run(change: Callable[[Path], None], server: S3Server, folder: Path) -> None:
    files, store = objects(server)
    change(folder / "b.csv")

    with pytest.raises(SourceError, match=r"1 input files, among them 's3a://in/b\.csv'") as caught:
        check_files_unchanged(files, store)

    assert caught.value.code == "INPUT_CHANGED"


def test_a_store_that_refuses_later_is_told_as_such(server: S3Server) -> None:
    server.is_open = True
    files, _ = objects(server)
    server.is_open = False

    with pytest.raises(SourceError, match="ACCESS_DENIED") as caught:
        check_files_unchanged(files, ObjectStore(server.endpoint, "http", "us-east-1", is_anonymous=True))

    assert caught.value.code == "INPUT_UNREADABLE"
