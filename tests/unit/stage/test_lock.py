from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sparkscore.errors import ConfigError, LineageError, SinkConflictError
from sparkscore.stage import lock as runlock
from sparkscore.stage.layout import STAGE_FOLDER
from sparkscore.stage.lock import RunLock, is_held
from sparkscore.stage.surroundings import Surroundings, here, put_into


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "run-1.lock"


def of_another_host(path: Path, age: float) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"token": "t", "host": "elsewhere", "pid": 1, "began": "1"}))
    os.utime(path, (time.time() - age, time.time() - age))


def test_a_lock_is_there_while_it_is_held_and_nothing_is_left(path: Path) -> None:
    with RunLock(path, "run-1") as lock:
        lock.check()
        assert is_held(path)

    assert not is_held(path)
    assert list(path.parent.iterdir()) == []


def test_a_pipe_at_the_place_of_a_lock_is_refused_and_not_waited_for(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)

    with pytest.raises(ConfigError, match="RUN_LOCK_FOREIGN"), RunLock(path, "run-1"):
        pass

    assert is_held(path)
    os.utime(path, (0, 0))
    assert not is_held(path)
    assert path.is_fifo()


def test_a_second_driver_is_refused_with_the_name_of_the_first(path: Path) -> None:
    with RunLock(path, "run-1"):
        with (
            pytest.raises(ConfigError, match=r"\[RUN_ID_RUNNING\].*process \d+ on host") as caught,
            RunLock(path, "run-1"),
        ):
            pass
        assert str(os.getpid()) in str(caught.value)
        assert is_held(path)


def test_of_many_drivers_at_once_one_wins(path: Path) -> None:
    barrier, won, done = threading.Barrier(8), [], threading.Event()

    def try_it() -> None:
        barrier.wait()
        try:
            with RunLock(path, "run-1"):
                won.append(1)
                done.wait(10)
        except ConfigError:
            pass

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    while sum(thread.is_alive() for thread in threads) > 1:
        time.sleep(0.01)
    done.set()
    for thread in threads:
        thread.join()

    assert won == [1]


@pytest.mark.parametrize(("age", "is_alive"), [(5, True), (29, True), (31, False), (10_000, False)])
def test_a_driver_on_another_host_lives_as_long_as_its_heartbeat(path: Path, age: float, *, is_alive: bool) -> None:
    of_another_host(path, age)

    assert is_held(path) is is_alive
    if is_alive:
        with pytest.raises(ConfigError, match="elsewhere"), RunLock(path, "run-1"):
            pass
    else:
        with RunLock(path, "run-1"):
            assert is_held(path)


def test_a_driver_that_was_killed_is_known_to_be_dead_at_once(path: Path) -> None:
    code = (
        "import time; from pathlib import Path; from sparkscore.stage.lock import RunLock\n"
        f"with RunLock(Path({str(path)!r}), 'r'): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    assert is_held(path)

    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()

    assert not is_held(path)
    with RunLock(path, "r"):
        assert is_held(path)


def test_without_proc_the_heartbeat_tells_on_this_host_too(path: Path) -> None:
    me = replace(here().process(), began=None)
    nowhere = Surroundings(process=lambda: me, began=lambda _: None)
    with put_into(nowhere), RunLock(path, "run-1"):
        assert is_held(path)
        os.utime(path, (1, 1))
        assert not is_held(path)


def test_the_heartbeat_is_seen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runlock, "BEAT_S", 0.02)
    with RunLock(path, "run-1"):
        os.utime(path, (1, 1))
        end = time.monotonic() + 5
        while path.stat().st_mtime < 100:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_who_lost_the_lock_is_told_and_leaves_the_other_one_alone(path: Path) -> None:
    with RunLock(path, "run-1") as lock:
        path.unlink()
        with RunLock(path, "run-1"), pytest.raises(SinkConflictError, match="RUN_LOCK_LOST"):
            lock.check()
        path.write_text('{"token": "of another"}')

    assert path.read_text() == '{"token": "of another"}'


def test_a_lock_that_is_not_written_yet_is_alive_as_long_as_it_is_young(path: Path) -> None:
    path.parent.mkdir()
    path.touch()

    with pytest.raises(ConfigError, match="RUN_ID_RUNNING"), RunLock(path, "run-1"):
        pass


def in_the_future(path: Path, seconds: float) -> None:
    of_another_host(path, -seconds)


def test_a_dead_heartbeat_in_the_future_is_taken_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runlock, "BEAT_S", 0.04)
    monkeypatch.setattr(runlock, "DEAD_AFTER_S", 0.3)
    in_the_future(path, 86_400)

    assert not is_held(path)
    with RunLock(path, "run-1"):
        assert is_held(path)


def test_a_heartbeat_in_the_future_that_changes_is_alive(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runlock, "BEAT_S", 0.04)
    in_the_future(path, 86_400)
    stop = threading.Event()

    def beat() -> None:
        number = 0
        while not stop.wait(0.02):
            number += 1
            os.utime(path, (time.time() + 86_400, time.time() + 86_400 - number))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(ConfigError, match="RUN_ID_RUNNING"), RunLock(path, "run-1"):
            pass
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    "change",
    [{"namespace": "another boot pid:[1]"}, {"namespace": None}, {"pid": "1"}, {"began": None}, {"host": "elsewhere"}],
)
@pytest.mark.parametrize(("age", "is_alive"), [(2, True), (31, False)])
def test_where_the_process_cannot_be_seen_the_heartbeat_decides(
    path: Path, change: dict[str, object], age: float, *, is_alive: bool
) -> None:
    path.parent.mkdir()
    holder = {
        "token": "t",
        "host": socket.gethostname(),
        "namespace": here().process().namespace,
        "pid": 1,
        "began": "no",
    }
    path.write_text(json.dumps(holder | change))
    os.utime(path, (time.time() - age, time.time() - age))

    assert is_held(path) is is_alive


def test_a_process_of_this_namespace_that_is_gone_is_dead_at_once(path: Path) -> None:
    path.parent.mkdir()
    holder = {
        "token": "t",
        "host": socket.gethostname(),
        "namespace": here().process().namespace,
        "pid": 1,
        "began": "no",
    }
    path.write_text(json.dumps(holder))

    assert not is_held(path)


UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc"]


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode != 0,
    reason="needs the right to make a pid namespace",
)
def test_a_container_with_the_same_host_name_does_not_take_a_living_run_for_dead(path: Path) -> None:
    code = f"from pathlib import Path; from sparkscore.stage.lock import is_held; print(is_held(Path({str(path)!r})))"

    with RunLock(path, "run-1"):
        seen = subprocess.run([*UNSHARE, sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert seen.stdout.split() == ["True"]


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk on which files can be made and nothing can be written into them."""

    def write(_descriptor: int, _content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", write)


@pytest.mark.usefixtures("full_disk")
def test_on_a_full_disk_an_empty_file_is_the_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = path.parent / STAGE_FOLDER / path.name
    monkeypatch.setattr(runlock, "BEAT_S", 0.05)
    with RunLock(path, "run-1") as lock:
        assert path.read_bytes() == b""
        lock.check()
        with pytest.raises(ConfigError, match=r"\[RUN_ID_RUNNING\]"), RunLock(path, "run-1"):
            pass
        os.utime(path, (0, 0))
        time.sleep(0.3)
        assert is_held(path), "its heart beats"

        path.rename(path.with_name("aside"))
        path.touch()
        with pytest.raises(SinkConflictError, match=r"\[RUN_LOCK_LOST\]"):
            lock.check()

    assert path.exists(), "the lock of another driver is not removed"
    os.utime(path, (0, 0))
    with RunLock(path, "run-1"):
        pass
    assert not path.exists()


@pytest.mark.usefixtures("full_disk")
def test_on_a_full_disk_no_empty_file_is_left_in_a_folder_of_the_users(path: Path) -> None:
    with pytest.raises(LineageError, match=r"\[RUN_LOCK\].*No space left"), RunLock(path, "run-1"):
        pass

    assert list(path.parent.iterdir()) == []
