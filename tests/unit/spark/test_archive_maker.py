from __future__ import annotations

import fcntl
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from sparkscore.errors import MissingDependencyError
from sparkscore.spark import archive_maker as subject
from sparkscore.spark.archive_maker import make_archive
from sparkscore.spark.class_archive import VARIABLE


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the archive belongs, beside a Java that is not started."""
    for name in (VARIABLE, "SPARK_SUBMIT_OPTS", "JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "PYSPARK_SUBMIT_ARGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(subject, "check_java", lambda: None)
    monkeypatch.setattr(subject, "place_of_archive", lambda _: tmp_path / "classes-0123")
    return tmp_path / "classes-0123"


def written(monkeypatch: pytest.MonkeyPatch, *, ends_well: bool = True) -> list[Path]:
    """Let the session write a few bytes instead of a Java that archives its classes."""
    calls = []

    def write(file: Path, *, with_delta: bool) -> bool:
        assert with_delta
        assert not file.exists()
        calls.append(file)
        file.write_text("classes")
        return ends_well

    monkeypatch.setattr(subject, "has_delta_release", lambda: True)
    monkeypatch.setattr(subject, "write_archive", write)
    return calls


def test_a_complete_archive_gets_its_size_into_its_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.with_name(f"{place.name}.unfinished").write_text("left by a process that was killed")
    written(monkeypatch)

    assert make_archive() == (place.with_name("classes-0123-7.jsa"), True)
    assert {path.name for path in place.parent.iterdir()} == {"classes-0123-7.jsa", "classes-0123.lock"}


def fail(error: Exception) -> Callable[..., bool]:
    def write(file: Path, **_: object) -> bool:
        file.write_text("clas")
        raise error

    return write


def test_a_java_that_ended_badly_leaves_none(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(monkeypatch, ends_well=False)

    with pytest.raises(MissingDependencyError, match=r"\[CLASS_ARCHIVE\].*Java ended without writing it"):
        make_archive()

    assert [path.name for path in place.parent.iterdir()] == [f"{place.name}.lock"]


def test_a_disk_that_is_full_leaves_none(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "write_archive", fail(OSError(28, "No space left on device")))

    with pytest.raises(MissingDependencyError, match=r"\[CLASS_ARCHIVE\].*No space left on device.*Make room in"):
        make_archive()

    assert [path.name for path in place.parent.iterdir()] == [f"{place.name}.lock"]


def test_two_processes_do_not_make_it_at_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = written(monkeypatch)
    with place.with_name(f"{place.name}.lock").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(MissingDependencyError, match="another process is making it"):
            make_archive()

    assert calls == []


def test_an_archive_that_is_there_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = written(monkeypatch)

    (made, is_new), again = make_archive(), make_archive()

    assert is_new
    assert again == (made, False)
    assert len(calls) == 1


def test_none_is_made_that_no_java_would_use(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = written(monkeypatch)
    monkeypatch.setenv(VARIABLE, "off")

    with pytest.raises(MissingDependencyError, match=f"the variable {VARIABLE} turns it off"):
        make_archive()

    assert calls == []


def test_without_a_safe_place_none_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = written(monkeypatch)
    monkeypatch.setattr(subject, "place_of_archive", lambda _: None)

    with pytest.raises(MissingDependencyError, match=r"no safe place for it.*XDG_CACHE_HOME"):
        make_archive()

    assert calls == []


@pytest.fixture
def java(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends as Java does, when its input is closed."""
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setenv("SPARK_SUBMIT_OPTS", "")
    monkeypatch.setattr(subject, "local_session", mock.Mock())
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        monkeypatch.setattr(subject, "running_gateway", lambda: mock.Mock(proc=process))
        yield process


def test_an_archive_is_complete_when_java_has_ended(
    java: subprocess.Popen[bytes], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "_use", lambda *_, **__: place.touch())

    assert subject.write_archive(place, with_delta=False)
    assert java.returncode == 0


def test_a_java_whose_use_was_interrupted_writes_nothing_later(
    java: subprocess.Popen[bytes], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "_use", mock.Mock(side_effect=KeyboardInterrupt))

    with pytest.raises(KeyboardInterrupt):
        subject.write_archive(place, with_delta=False)

    assert java.wait(10) == -signal.SIGKILL
