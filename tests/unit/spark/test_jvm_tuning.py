from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from sparkscore.spark import jvm_tuning as subject
from sparkscore.spark.jvm_launch import OPTIONS_OF_THE_USER
from sparkscore.spark.prerequisites import java_program

LOCAL = {"spark.master": "local[2]"}


def tuning_options(settings: dict[str, str], conf_folder: Path = Path("/without")) -> str:
    return subject.tuning_options(settings, conf_folder)


@pytest.fixture(autouse=True)
def without_options(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*OPTIONS_OF_THE_USER, "SPARK_DRIVER_MEMORY", "SPARK_MEM", "PYSPARK_SUBMIT_ARGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(subject, "noted_java", lambda: 17)


def test_the_second_compiler_waits_ten_times_as_long_as_by_default() -> None:
    found = {name: int(value) for name, value in re.findall(r"-XX:(Tier\w+)=(\d+)", tuning_options(LOCAL))}

    assert found == {
        "Tier4InvocationThreshold": 10 * 5_000,
        "Tier4MinInvocationThreshold": 10 * 600,
        "Tier4CompileThreshold": 10 * 15_000,
        "Tier4BackEdgeThreshold": 10 * 40_000,
    }


@pytest.mark.parametrize("name", OPTIONS_OF_THE_USER)
@pytest.mark.parametrize(
    "option",
    [
        "-XX:TieredStopAtLevel=1",
        "-XX:-TieredCompilation",
        "-XX:Tier4InvocationThreshold=7000",
        "-XX:CompileThreshold=100",
        "-XX:CICompilerCount=3",
        "-XX:+UseJVMCICompiler",
        "-Xint",
        "-Xmx2g -Xcomp",
    ],
)
def test_a_user_who_has_chosen_a_compiler_has_it(monkeypatch: pytest.MonkeyPatch, name: str, option: str) -> None:
    monkeypatch.setenv(name, option)

    assert "Tier4" not in tuning_options(LOCAL)


@pytest.mark.parametrize("key", ["spark.driver.extraJavaOptions", "spark.driver.defaultJavaOptions"])
def test_settings_choose_as_well(key: str) -> None:
    assert "Tier4" not in tuning_options(LOCAL | {key: "-XX:TieredStopAtLevel=1"})
    assert "Serial" not in tuning_options(LOCAL | {key: "-XX:+UseZGC"})


@pytest.mark.parametrize("option", ["-Xmx2g", "-Dmode=-Xintegral", "-XX:SharedArchiveFile=/own.jsa"])
def test_other_options_are_no_choice_of_a_compiler(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    monkeypatch.setenv("SPARK_SUBMIT_OPTS", option)

    assert "Tier4" in tuning_options(LOCAL)


@pytest.mark.parametrize("name", OPTIONS_OF_THE_USER)
@pytest.mark.parametrize(
    "option",
    [
        "-XX:+UseG1GC",
        "-XX:-UseSerialGC",
        "-XX:+UseParallelGC",
        "-XX:MetaspaceSize=64m",
        "-XX:MaxMetaspaceSize=200m",
        "-XX:G1HeapRegionSize=4m",
        "-XX:ConcGCThreads=1",
        "-XX:MaxHeapSize=4g",
        "-Xmx4g",
        "@options",
        "-Dmine=1 -XX:VMOptionsFile=/own",
        "-XX:Flags=/own",
    ],
)
def test_a_user_who_has_chosen_a_collector_or_a_heap_has_it(
    monkeypatch: pytest.MonkeyPatch, name: str, option: str
) -> None:
    monkeypatch.setenv(name, option)

    assert "GC" not in tuning_options(LOCAL)
    assert "Metaspace" not in tuning_options(LOCAL)
    assert "Tier4" in tuning_options(LOCAL)


@pytest.mark.parametrize(
    ("settings", "has_it"),
    [
        ({"spark.master": "local"}, True),
        ({"spark.master": "local[4,4]"}, True),
        ({"spark.master": "local[5,4]"}, False),
        ({"spark.master": "local[*]"}, True),
        ({"spark.master": "local-cluster[2,1,1024]"}, False),
    ],
)
def test_small_sessions_have_a_collector_without_threads(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], *, has_it: bool
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)

    assert ("-XX:+UseSerialGC -Xmn256m" in tuning_options(settings)) == has_it
    assert "-XX:MetaspaceSize=256m" in tuning_options(settings)


@pytest.mark.parametrize(
    ("settings", "variables"),
    [
        ({"spark.driver.memory": "8g"}, {}),
        ({}, {"SPARK_DRIVER_MEMORY": "8g"}),
        ({}, {"SPARK_MEM": "8g"}),
        ({}, {"PYSPARK_SUBMIT_ARGS": "--conf spark.driver.extraJavaOptions=@/own pyspark-shell"}),
        ({}, {"PYSPARK_SUBMIT_ARGS": "--driver-memory 8g pyspark-shell"}),
        ({}, {"PYSPARK_SUBMIT_ARGS": "--conf spark.driver.memory=8g pyspark-shell"}),
        ({}, {"PYSPARK_SUBMIT_ARGS": "--driver-java-options -XX:+UseG1GC pyspark-shell"}),
        ({}, {"PYSPARK_SUBMIT_ARGS": "--properties-file own.conf pyspark-shell"}),
    ],
)
def test_a_heap_of_the_users_size_has_javas_own_collector(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert "GC" not in tuning_options(LOCAL | settings)
    assert "-Xmn" not in tuning_options(LOCAL | settings)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("spark-defaults.conf", "spark.driver.extraJavaOptions  -XX:+UseG1GC\n"),
        ("spark-defaults.conf", "spark.driver.memory=8g\n"),
        ("spark-env.sh", "export SPARK_DRIVER_MEMORY=8g\n"),
        ("java-opts", "-XX:+UseParallelGC\n"),
        ("spark-env.sh", "SPARK_SUBMIT_OPTS='-XX:+UseZGC'\n"),
    ],
)
def test_files_of_spark_choose_as_well(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)

    assert "GC" not in tuning_options(LOCAL, tmp_path)
    assert "Tier4" in tuning_options(LOCAL, tmp_path)


def test_other_settings_in_the_files_of_spark_are_no_choice(tmp_path: Path) -> None:
    (tmp_path / "spark-defaults.conf").write_text("spark.sql.shuffle.partitions 8\n")

    assert "-XX:+UseSerialGC" in tuning_options(LOCAL, tmp_path)


@pytest.mark.parametrize(("version", "has_them"), [(None, False), (11, False), (17, True), (25, True), (26, False)])
def test_a_java_that_may_not_know_the_options_does_not_get_them(
    monkeypatch: pytest.MonkeyPatch, version: int | None, *, has_them: bool
) -> None:
    monkeypatch.setattr(subject, "noted_java", lambda: version)

    assert bool(tuning_options(LOCAL)) == has_them


def test_this_java_knows_the_options() -> None:
    java = java_program()
    assert java is not None

    subprocess.run([java, *tuning_options(LOCAL).split(), "-version"], check=True, capture_output=True)
