from __future__ import annotations

import os
from pathlib import Path

import pytest

from sparkscore.spark.prerequisites import java_version


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
