"""What every store promises, whatever holds its objects: on a disk, and as the simulation has it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sparkscore.stage.layout import finished
from sparkscore.stage.local_store import LocalStore
from sparkscore.stage.store import EntryType, Store, writing
from tests.support.simulation.store import FaultyStores

Opens = Callable[[Path], Store]


@pytest.fixture(params=["local", "of the simulation"])
def opens(request: pytest.FixtureRequest, tmp_path: Path) -> Opens:
    return LocalStore if request.param == "local" else FaultyStores(tmp_path).open


@pytest.fixture
def store(opens: Opens, tmp_path: Path) -> Store:
    store = opens(tmp_path / "place")
    store.make()
    return store


def names_in(store: Store, folder: str = "") -> list[str]:
    return [entry.name for entry in store.entries(folder)]


def test_an_object_comes_back_and_is_replaced_whole(store: Store) -> None:
    store.put("a/b", b"first")
    assert store.read("a/b") == b"first"

    store.put("a/b", b"")

    assert store.read("a/b") == b""
    assert names_in(store, "a") == ["a/b"], "nothing is left beside it"


def test_what_is_not_there_is_not_found(store: Store) -> None:
    assert store.find("nothing") is None
    assert store.age("nothing") is None
    assert store.entries("nothing") == []
    store.delete("nothing")
    with pytest.raises(FileNotFoundError):
        store.read("nothing")


def test_a_check_at_the_last_moment_leaves_the_object_as_it_is(store: Store) -> None:
    store.put("record", b"mine")

    def lost() -> None:
        raise RuntimeError("another driver has the run")

    with pytest.raises(RuntimeError, match="another driver"):
        store.put("record", b"of one who slept", check=lost)

    assert store.read("record") == b"mine"
    assert names_in(store) == ["record"]


def test_of_many_that_put_an_object_where_nothing_is_one_does(store: Store) -> None:
    barrier, won = threading.Barrier(8), list[bytes]()

    def put(content: bytes) -> None:
        barrier.wait()
        if store.put_new("lock", content):
            won.append(content)

    threads = [threading.Thread(target=put, args=(str(number).encode(),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [store.read("lock")] == won
    assert names_in(store) == ["lock"]


def test_an_object_is_replaced_only_if_it_is_still_the_same(store: Store) -> None:
    store.put("lock", b"dead")
    seen = store.find("lock")
    assert seen is not None

    assert store.put_if_match("lock", b"first", seen.version)
    assert not store.put_if_match("lock", b"second", seen.version)
    assert not store.put_if_match("gone", b"third", seen.version)

    assert store.read("lock") == b"first"
    assert names_in(store) == ["lock"]


def test_of_many_that_replace_the_same_version_one_does(store: Store) -> None:
    store.put("lock", b"dead")
    seen = store.find("lock")
    assert seen is not None
    barrier, won = threading.Barrier(6), list[bytes]()

    def replace(content: bytes) -> None:
        barrier.wait()
        if store.put_if_match("lock", content, seen.version):
            won.append(content)

    threads = [threading.Thread(target=replace, args=(str(number).encode(),)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [store.read("lock")] == won
    assert names_in(store) == ["lock"]


def test_each_write_and_each_touch_gives_another_version(store: Store) -> None:
    versions = []
    changes: list[Callable[[], None]] = [
        lambda: store.put("a", b"1"),
        lambda: store.put("a", b"1"),
        lambda: store.touch("a"),
    ]
    for change in changes:
        time.sleep(0.02)  # times of a file system have steps
        change()
        found = store.find("a")
        assert found is not None
        versions.append(found.version)

    assert len(set(versions)) == len(versions)


def test_the_age_of_an_object_is_by_the_clock_of_the_store(store: Store) -> None:
    store.put("a", b"")
    age = store.age("a")
    store.touch("a")

    assert age is not None
    assert 0 <= age < 60
    assert names_in(store) == ["a"]


def test_an_object_that_is_written_by_parts_is_seen_when_it_is_closed(store: Store) -> None:
    with writing(store, "a/part") as file:
        file.write(b"one ")
        file.write(b"two")
        assert store.find("a/part") is None
        assert file.tell() == 7

    assert store.read("a/part") == b"one two"
    with store.open("a/part") as opened:
        opened.seek(4)
        assert opened.read() == b"two"


def test_an_object_that_is_not_written_to_its_end_is_not_there(store: Store) -> None:
    with pytest.raises(RuntimeError, match="half"), writing(store, "part") as file:  # noqa: PT012 - the scene
        file.write(b"one")
        raise RuntimeError("half")

    assert store.entries() == []


def test_an_unfinished_object_is_known_by_its_name(store: Store) -> None:
    file = store.writer("a/part")
    file.flush()

    assert [finished(name) for name in names_in(store, "a")] == ["a/part"]
    file.abandon()


def test_folders_are_made_below_the_place_and_never_the_place_itself(
    store: Store, opens: Opens, tmp_path: Path
) -> None:
    gone = opens(tmp_path / "gone")

    store.put("a/b/c", b"")
    with pytest.raises(FileNotFoundError):
        gone.put("a/b/c", b"")

    assert names_in(store, "a/b") == ["a/b/c"]
    assert not (tmp_path / "gone").exists()
    gone.make()
    gone.put("a", b"")


def test_a_folder_goes_when_it_is_empty(store: Store) -> None:
    store.put("a/b", b"")

    assert not store.drop("a")
    store.delete("a/b")
    assert store.drop("a")
    assert not store.drop("a")
    assert store.find("a") is None


def test_kinds_are_told_apart_and_links_are_not_followed(store: Store) -> None:
    store.put("folder/file", b"12")
    Path(store.locate("link")).symlink_to(store.locate("folder"), target_is_directory=True)

    found = {
        entry.name: (entry.type, entry.size_bytes) for entry in store.entries() if entry.type is not EntryType.OTHER
    }
    link, file = store.find("link"), store.find("folder/file")

    assert [kind for kind, _ in found.values()] == [EntryType.FOLDER]
    assert link is not None
    assert link.type is EntryType.OTHER
    assert file is not None
    assert (file.type, file.size_bytes) == (EntryType.FILE, 2)


def test_a_rename_and_a_link_never_replace(store: Store) -> None:
    store.put("a/file", b"a")
    store.put("b", b"b")
    store.make("empty")

    for other in ("b", "empty"):
        with pytest.raises(FileExistsError):
            store.rename("a", other)
    with pytest.raises(FileExistsError):
        store.link("a/file", "b")

    store.link("a/file", "c/file")
    store.rename("a", "moved")
    assert store.read("moved/file") == store.read("c/file") == b"a"
    assert store.find("a") is None


def test_a_private_object_is_its_users_alone(store: Store) -> None:
    store.put("key", b"secret", is_private=True)

    assert Path(store.locate("key")).stat().st_mode & 0o077 == 0


def test_an_empty_mark_tells_itself_from_a_later_one(store: Store) -> None:
    mark = store.put_mark("lock")
    assert mark is not None
    assert store.put_mark("lock") is None
    assert mark.is_there()

    store.delete("lock")
    later = store.put_mark("lock")

    assert not mark.is_there()
    mark.close()
    assert later is not None
    later.close()
