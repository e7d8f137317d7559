from __future__ import annotations

import re
import subprocess

import pytest

from sparkscore.spark import jvm_compiler as subject
from sparkscore.spark.jvm_compiler import compiler_options
from sparkscore.spark.jvm_launch import OPTIONS_OF_THE_USER
from sparkscore.spark.prerequisites import java_program

LOCAL = {"spark.master": "local[2]"}


@pytest.fixture(autouse=True)
def without_options(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OPTIONS_OF_THE_USER:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(subject, "noted_java", lambda: 17)


def test_the_second_compiler_waits_ten_times_as_long_as_by_default() -> None:
    found = {name: int(value) for name, value in re.findall(r"-XX:(\w+)=(\d+)", compiler_options(LOCAL))}

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

    assert compiler_options(LOCAL) == ""


@pytest.mark.parametrize("key", ["spark.driver.extraJavaOptions", "spark.driver.defaultJavaOptions"])
def test_settings_choose_as_well(key: str) -> None:
    assert compiler_options(LOCAL | {key: "-XX:TieredStopAtLevel=1"}) == ""


@pytest.mark.parametrize("option", ["-Xmx2g", "-Dmode=-Xintegral", "-XX:SharedArchiveFile=/own.jsa"])
def test_other_options_are_no_choice_of_a_compiler(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    monkeypatch.setenv("SPARK_SUBMIT_OPTS", option)

    assert compiler_options(LOCAL)


@pytest.mark.parametrize(("version", "has_them"), [(None, False), (11, False), (17, True), (25, True), (26, False)])
def test_a_java_that_may_not_know_the_options_does_not_get_them(
    monkeypatch: pytest.MonkeyPatch, version: int | None, *, has_them: bool
) -> None:
    monkeypatch.setattr(subject, "noted_java", lambda: version)

    assert bool(compiler_options(LOCAL)) == has_them


def test_this_java_knows_the_options() -> None:
    java = java_program()
    assert java is not None

    subprocess.run([java, *compiler_options(LOCAL).split(), "-version"], check=True, capture_output=True)
