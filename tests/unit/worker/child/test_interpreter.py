"""Archives of environments that cannot be unpacked."""

from __future__ import annotations

import errno
import gzip
import lzma
import os
import tarfile
from pathlib import Path

import pytest

from sparkscore.digest import digest_of_path
from sparkscore.outcome import Failure
from sparkscore.scorers import ScriptSpec
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.worker import ChildSpec, EngineSpec
from sparkscore.worker.child.supervisor import ChildEngine


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path))
    (tmp_path / "content").write_bytes(os.urandom(30_000))
    with tarfile.open(tmp_path / "env.tar.gz", "w:gz") as packed:
        packed.add(tmp_path / "content", "content")
    return tmp_path / "env.tar.gz"


def failure_of(archive: Path) -> Failure:
    files = ModelFiles("env", "", str(archive), digest_of_path(archive))
    engine = ChildEngine(EngineSpec("k", ScriptSpec(b"", "score.py")), ChildSpec(archive=files, load_timeout=30))
    failure = engine.load().failure
    engine.close()
    assert failure is not None
    return failure


@pytest.mark.parametrize("left", [0.1, 0.5, 0.9])
def test_a_truncated_archive_is_told_as_damaged(archive: Path, left: float) -> None:
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(len(whole) * left)])

    failure = failure_of(archive)

    assert failure.code == "PYTHON_ARCHIVE"
    assert "EOFError when it was unpacked" in failure.message


def test_an_archive_of_another_compression_is_told_as_damaged(archive: Path) -> None:
    whole = bytearray(lzma.compress(gzip.decompress(archive.read_bytes())))
    whole[len(whole) // 2] ^= 0xFF
    archive.write_bytes(whole)

    failure = failure_of(archive)

    assert failure.code == "PYTHON_ARCHIVE"
    assert "when it was unpacked" in failure.message


def test_an_archive_with_a_wrong_checksum_is_told_as_damaged(archive: Path) -> None:
    content = gzip.compress(gzip.decompress(archive.read_bytes())[:5000])
    archive.write_bytes(content[:-8] + bytes(8))

    failure = failure_of(archive)

    assert failure.code == "PYTHON_ARCHIVE"
    assert "when it was unpacked" in failure.message


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_as_such(archive: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def extract(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tarfile.TarFile, "extract", extract)

    failure = failure_of(archive)

    assert failure.code == "PYTHON_ARCHIVE"
    assert "'python.archive' cannot be unpacked on host" in failure.message
    assert os.strerror(number) in failure.message
    assert "Make room" in failure.next_step
