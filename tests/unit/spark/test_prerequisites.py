from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

import pyspark
import pytest

from sparkscore.spark.prerequisites import has_delta_release, has_new_java, java_version


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_202"', 8),
        ('openjdk version "21-ea" 2023-09-19', 21),
        ("command failed", None),
    ],
)
def test_java_version_reads_what_java_prints(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, output: str, version: int | None
) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho '{output}' >&2\n", encoding="utf-8")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    assert java_version() == version


def test_java_version_is_nothing_without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", os.devnull)

    assert java_version() is None


@pytest.mark.parametrize(
    ("version", "found"),
    [("4.0.1", True), ("4.1.2", True), ("4.2.0", True), ("4.2.9", True), ("4.3.0", False), ("5.0.0", False)],
)
@pytest.mark.parametrize("requirements", [["pyspark<=4.2.0,>=4.0.1", "importlib_metadata>=1.0.0"], None])
def test_delta_has_a_release_for_the_versions_that_delta_spark_names(
    monkeypatch: pytest.MonkeyPatch, version: str, found: object, requirements: list[str] | None
) -> None:
    def requires(_name: str) -> list[str]:
        if requirements is None:
            raise metadata.PackageNotFoundError
        return requirements

    monkeypatch.setattr(pyspark, "__version__", version)
    monkeypatch.setattr(metadata, "requires", requires)

    assert has_delta_release() is found


def test_a_newer_delta_spark_brings_its_own_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyspark, "__version__", "4.3.1")
    monkeypatch.setattr(metadata, "requires", lambda _name: ["pyspark<=4.3.0,>=4.0.1"])

    assert has_delta_release() is True


@pytest.mark.parametrize(
    ("release", "is_new"),
    [
        ('IMPLEMENTOR="Debian"\nJAVA_VERSION="17.0.15"\n', True),
        ('JAVA_VERSION="25"\n', True),
        ('JAVA_VERSION="1.8.0_202"\n', False),
        ('JAVA_VERSION="11.0.2"\n', False),
        ("", False),
        (None, False),
    ],
)
def test_java_says_its_version_in_a_file_without_being_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, release: str | None, *, is_new: bool
) -> None:
    java = tmp_path / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    if release is not None:
        (tmp_path / "jdk" / "release").write_text(release)

    assert has_new_java() is is_new
    assert not (tmp_path / "started").exists()


def test_a_java_that_is_not_there_is_not_new(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "release").write_text('JAVA_VERSION="17.0.15"\n')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    assert not has_new_java()
