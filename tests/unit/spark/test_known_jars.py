from __future__ import annotations

import os
from pathlib import Path

import pytest

from sparkscore.spark.known_jars import note_jars, with_known_jars

PACKAGE = "io.delta:delta-spark_4.2_2.13:4.4.0"
SETTINGS = {"spark.jars.packages": PACKAGE, "spark.jars.excludes": "org.slf4j:slf4j-api", "spark.master": "local"}


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PYSPARK_SUBMIT_ARGS", raising=False)
    monkeypatch.delenv("SPARK_CONF_DIR", raising=False)


@pytest.fixture
def jars(tmp_path: Path) -> list[Path]:
    found = [tmp_path / "ivy" / name for name in ("delta.jar", "storage.jar")]
    for jar in found:
        jar.parent.mkdir(exist_ok=True)
        jar.write_text(jar.name)
    return found


def note(home: Path, jars: list[Path], settings: dict[str, str] = SETTINGS) -> None:
    note_jars(settings, home, ",".join(jar.as_uri() for jar in jars))


def test_at_first_ivy_is_asked(tmp_path: Path) -> None:
    assert with_known_jars(SETTINGS, tmp_path) == SETTINGS


def test_then_its_files_are_named_instead_of_the_package(tmp_path: Path, jars: list[Path]) -> None:
    note(tmp_path, jars)

    assert with_known_jars(SETTINGS, tmp_path) == {"spark.master": "local", "spark.jars": f"{jars[0]},{jars[1]}"}


@pytest.mark.parametrize("case", ["changed", "gone", "touched"])
def test_a_file_that_is_not_as_ivy_left_it_is_asked_for_again(tmp_path: Path, jars: list[Path], case: str) -> None:
    note(tmp_path, jars)
    if case == "changed":
        jars[1].write_text("another")
    elif case == "gone":
        jars[1].unlink()
    else:
        os.utime(jars[1], (0, 0))

    assert with_known_jars(SETTINGS, tmp_path) == SETTINGS


@pytest.mark.parametrize(
    "more",
    [
        {"spark.jars.packages": PACKAGE.replace("4.4.0", "4.5.0")},
        {"spark.jars.packages": f"{PACKAGE},org:own:1"},
        {"spark.jars.packages": PACKAGE.replace("4.4.0", "latest.release")},
        {"spark.jars.excludes": "org:other"},
        {"spark.jars.ivy": "/elsewhere"},
        {"spark.jars.ivySettings": "/settings.xml"},
        {"spark.jars.repositories": "https://mirror"},
        {"spark.jars": "/own.jar"},
    ],
)
def test_another_request_is_left_to_ivy(tmp_path: Path, jars: list[Path], more: dict[str, str]) -> None:
    note(tmp_path, jars)

    assert with_known_jars(SETTINGS | more, tmp_path) == SETTINGS | more


def test_requests_that_are_left_to_ivy_are_not_noted(tmp_path: Path, jars: list[Path]) -> None:
    settings = SETTINGS | {"spark.jars.packages": f"{PACKAGE},org:own:1"}
    note(tmp_path, jars, settings)

    assert not list((tmp_path / "cache").rglob("*.json"))
    assert with_known_jars(settings, tmp_path) == settings


def test_another_spark_or_home_has_its_own_note(
    tmp_path: Path, jars: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    note(tmp_path, jars)

    assert with_known_jars(SETTINGS, tmp_path / "other") == SETTINGS
    monkeypatch.setenv("HOME", str(tmp_path))
    assert with_known_jars(SETTINGS, tmp_path) == SETTINGS


@pytest.mark.parametrize("case", ["arguments", "defaults", "no cache"])
def test_where_more_may_be_set_ivy_is_asked(
    tmp_path: Path, jars: list[Path], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    note(tmp_path, jars)
    if case == "arguments":
        monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "--packages org:own:1 pyspark-shell")
    elif case == "defaults":
        (tmp_path / "conf").mkdir()
        (tmp_path / "conf" / "spark-defaults.conf").touch()
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")

    assert with_known_jars(SETTINGS, tmp_path) == SETTINGS


@pytest.mark.parametrize(
    "jars", ["", "hdfs://store/a.jar", "file://host/a.jar", "/a b.jar", "/none.jar", "spark://127.0.0.1:1/jars/a.jar"]
)
def test_files_that_are_not_plainly_here_are_not_noted(tmp_path: Path, jars: str) -> None:
    note_jars(SETTINGS, tmp_path, jars)

    assert with_known_jars(SETTINGS, tmp_path) == SETTINGS


@pytest.mark.parametrize("content", ["[]", "{}", '{"/none.jar": null}', '{"/": 1}', "[1]"])
def test_a_note_with_other_contents_is_not_used(tmp_path: Path, jars: list[Path], content: str) -> None:
    note(tmp_path, jars)
    (file,) = (tmp_path / "cache" / "sparkscore").iterdir()
    file.write_text(content)

    assert with_known_jars(SETTINGS, tmp_path) == SETTINGS
