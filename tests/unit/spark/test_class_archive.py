from __future__ import annotations

import os
from pathlib import Path

import pytest

from sparkscore.spark import class_archive as subject
from sparkscore.spark.class_archive import (
    VARIABLE,
    discard_archive,
    find_archive,
    options_for,
    place_of_archive,
    put_archive,
    why_unused,
)

LOCAL = {"spark.master": "local[2]"}


@pytest.fixture(autouse=True)
def java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A Java 17 that is not started, and a cache of its own."""
    home = tmp_path / "jdk"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").write_text("#!/bin/false\n")
    (home / "bin" / "java").chmod(0o755)
    (home / "release").write_text('JAVA_VERSION="17.0.15"\n')
    monkeypatch.setenv("JAVA_HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in (VARIABLE, "SPARK_SUBMIT_OPTS", "JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "PYSPARK_SUBMIT_ARGS"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def spark_home(tmp_path: Path) -> Path:
    (tmp_path / "spark" / "jars").mkdir(parents=True)
    (tmp_path / "spark" / "jars" / "spark-core.jar").write_text("classes")
    return tmp_path / "spark"


@pytest.fixture
def archive(spark_home: Path, tmp_path: Path) -> Path:
    place = place_of_archive(spark_home)
    assert place is not None
    (tmp_path / "unfinished").write_text("a whole archive")
    return put_archive(tmp_path / "unfinished", place)


def test_a_whole_archive_is_found(archive: Path, spark_home: Path) -> None:
    assert find_archive(LOCAL, spark_home) == archive
    assert options_for(archive) == f"-XX:SharedArchiveFile={archive}"


@pytest.mark.parametrize("case", ["cut short", "longer", "others may write", "removed", "discarded"])
def test_an_archive_that_is_in_doubt_is_not_used(archive: Path, spark_home: Path, case: str) -> None:
    if case == "cut short":
        os.truncate(archive, 3)
    elif case == "longer":
        archive.write_text("a whole archive and more")
    elif case == "others may write":
        archive.chmod(0o666)
    elif case == "removed":
        archive.unlink()
    else:
        discard_archive(archive)

    assert find_archive(LOCAL, spark_home) is None


@pytest.mark.parametrize("case", ["another Java", "a newer jar", "another jar", "another class path"])
def test_another_java_or_spark_has_another_archive(
    archive: Path, spark_home: Path, java: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    assert archive.exists()
    if case == "another Java":
        (java / "release").write_text('JAVA_VERSION="21.0.1"\n')
    elif case == "a newer jar":
        os.utime(spark_home / "jars" / "spark-core.jar", (1, 1))
    elif case == "another jar":
        (spark_home / "jars" / "more.jar").touch()
    else:
        monkeypatch.setenv("HADOOP_CONF_DIR", "/etc/hadoop")

    assert find_archive(LOCAL, spark_home) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (VARIABLE, "off"),
        (VARIABLE, "False"),
        ("SPARK_SUBMIT_OPTS", "-XX:SharedArchiveFile=/own.jsa"),
        ("JDK_JAVA_OPTIONS", "-Xshare:off"),
        ("JAVA_TOOL_OPTIONS", "-javaagent:/agent.jar"),
        ("PYSPARK_SUBMIT_ARGS", "--driver-class-path /own pyspark-shell"),
    ],
)
def test_the_users_own_options_win(
    archive: Path, spark_home: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    assert find_archive(LOCAL, spark_home) == archive
    monkeypatch.setenv(name, value)

    assert find_archive(LOCAL, spark_home) is None
    assert name in str(why_unused(LOCAL))


@pytest.mark.parametrize(
    "settings",
    [
        {"spark.driver.extraJavaOptions": "-XX:ArchiveClassesAtExit=/own.jsa"},
        {"spark.driver.extraClassPath": "/own"},
    ],
)
def test_the_users_own_settings_win(archive: Path, spark_home: Path, settings: dict[str, str]) -> None:
    assert archive.exists()
    assert find_archive(LOCAL | settings, spark_home) is None


@pytest.mark.parametrize("case", ["no cache", "a path with a blank", "no Java", "no jars"])
def test_without_a_place_there_is_no_archive(
    spark_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: str
) -> None:
    if case == "no cache":
        monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    elif case == "a path with a blank":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "my cache"))
    elif case == "no Java":
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / "none"))
    home = tmp_path / "none" if case == "no jars" else spark_home

    assert place_of_archive(home) is None
    assert find_archive(LOCAL, home) is None


def test_new_archives_are_kept_and_the_newest_of_all(spark_home: Path, tmp_path: Path) -> None:
    place = place_of_archive(spark_home)
    assert place is not None
    others = [place.with_name(f"classes-{number}-5.jsa") for number in range(4)]
    for number, other in enumerate(others):
        other.write_text("other")
        os.utime(other, (number, number))
    today = place.with_name("classes-today-5.jsa")
    today.write_text("other")
    (place.parent / "jars-1.json").write_text("[]")
    (tmp_path / "unfinished").write_text("a whole archive")

    archive = put_archive(tmp_path / "unfinished", place)

    left = {path.name for path in place.parent.iterdir()}
    assert left == {archive.name, today.name, others[3].name, "jars-1.json"}
    assert subject.whole_archive(place) == archive
