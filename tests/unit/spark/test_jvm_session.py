from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext

from sparkscore.errors import MissingDependencyError
from sparkscore.spark import jvm_session as subject
from sparkscore.spark import jvm_tuning
from sparkscore.spark.jvm_launch import OPTIONS_OF_THE_USER
from sparkscore.spark.jvm_session import launch_jvm
from sparkscore.spark.prerequisites import check_java

LOCAL = {"spark.master": "local[1]", "spark.jars.packages": "io.delta:delta-spark_4.2_2.13:4.4.0"}


class Starts:
    """Stands for the start of a JVM: notes with which settings and which archive, and may fail."""

    def __init__(self, log: Path, ends: Callable[[Path | None], str]) -> None:
        self.made: list[tuple[dict[str, str], Path | None]] = []
        self.tuned: list[bool] = []
        self._log = log
        self._ends = ends

    def __call__(self, settings: dict[str, str], log_file: Path, archive: Path | None, *, is_tuned: bool) -> Any:
        assert log_file == self._log
        self.made.append((settings, archive))
        self.tuned.append(is_tuned)
        if message := self._ends(archive):
            with self._log.open("a") as log:
                log.write(message + "\n")
            raise RuntimeError("JAVA_GATEWAY_EXITED")
        return self

    @property
    def jvm(self) -> None:
        return None


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "classes-1-7.jsa").write_text("classes")
    return tmp_path / "classes-1-7.jsa"


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, archive: Path) -> Callable[..., Starts]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(subject, "has_new_java", lambda: True)
    monkeypatch.setattr(subject, "check_java", lambda: None)
    monkeypatch.setattr(subject, "find_archive", lambda *_: archive if archive.exists() else None)
    monkeypatch.setattr(subject, "_jars_of", lambda _: (tmp_path / "delta.jar").as_uri())
    (tmp_path / "delta.jar").touch()

    def made(ends: Callable[[Path | None], str] = lambda _: "") -> Starts:
        starts = Starts(tmp_path / "spark.log", ends)
        monkeypatch.setattr(subject, "_launch", starts)
        return starts

    return made


def test_a_second_start_names_the_files_that_ivy_gave_the_first(start: Callable[..., Starts], tmp_path: Path) -> None:
    starts = start()

    launch_jvm(LOCAL, tmp_path / "spark.log")
    launch_jvm(LOCAL, tmp_path / "spark.log")

    (first, _), (second, _) = starts.made
    assert first == LOCAL
    assert second == {"spark.master": "local[1]", "spark.jars": str(tmp_path / "delta.jar")}


def test_another_master_is_left_alone(start: Callable[..., Starts], tmp_path: Path) -> None:
    starts = start()

    for _ in range(2):
        launch_jvm(LOCAL | {"spark.master": "yarn"}, tmp_path / "spark.log")

    assert starts.made == [(LOCAL | {"spark.master": "yarn"}, None)] * 2


def test_an_archive_with_which_java_crashes_is_removed(
    start: Callable[..., Starts], archive: Path, tmp_path: Path
) -> None:
    crash = "# A fatal error has been detected by the Java Runtime Environment:"
    starts = start(lambda archive: crash if archive else "")

    launch_jvm(LOCAL, tmp_path / "spark.log")

    assert [used for _, used in starts.made] == [archive, None]
    assert not archive.exists()


def test_an_archive_that_cannot_be_removed_is_not_tried_again(
    start: Callable[..., Starts], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(subject, "discard_archive", lambda _: False)
    starts = start(lambda _: "# A fatal error has been detected by the Java Runtime Environment:")

    with pytest.raises(MissingDependencyError, match=r"\[SPARK_START\]"):
        launch_jvm(LOCAL, tmp_path / "spark.log")

    assert len(starts.made) == 1


def test_another_failure_is_not_blamed_on_the_archive(
    start: Callable[..., Starts], archive: Path, tmp_path: Path
) -> None:
    starts = start(lambda _: "Exception in thread main: Master must be yarn, spark or local")

    with pytest.raises(MissingDependencyError, match=r"\[SPARK_START\].*Master must be"):
        launch_jvm(LOCAL, tmp_path / "spark.log")

    assert len(starts.made) == 1
    assert archive.exists()


@pytest.mark.parametrize(
    "text",
    [
        "Error: Could not create. Multiple garbage collectors selected",
        "Conflicting collector combinations in option list",
    ],
)
def test_a_java_with_two_collectors_is_started_with_that_of_the_user(
    start: Callable[..., Starts], archive: Path, tmp_path: Path, text: str
) -> None:
    messages = [text, ""]
    starts = start(lambda _: messages.pop(0))

    launch_jvm(LOCAL, tmp_path / "spark.log")

    assert starts.tuned == [True, False]
    assert archive.exists()


def test_two_collectors_of_the_user_are_the_users_error(start: Callable[..., Starts], tmp_path: Path) -> None:
    starts = start(lambda _: "Multiple garbage collectors selected")

    with pytest.raises(MissingDependencyError, match=r"\[SPARK_START\]"):
        launch_jvm(LOCAL, tmp_path / "spark.log")

    assert starts.tuned == [True, False]


def test_a_java_that_does_not_start_is_named(
    start: Callable[..., Starts], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    start(lambda _: "Error occurred during initialization of VM")
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'Error occurred during initialization of VM'\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setattr(subject, "check_java", check_java)

    with pytest.raises(MissingDependencyError, match=r"\[JAVA_FAILED\]"):
        launch_jvm(LOCAL, tmp_path / "spark.log")


@pytest.mark.parametrize(
    ("port", "step"), [(None, "begin with local_session(), without delta=False"), ("1", "spark-submit --packages")]
)
def test_a_java_without_delta_says_how_to_start_one_with_it(
    monkeypatch: pytest.MonkeyPatch, port: str | None, step: str
) -> None:
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    if port:
        monkeypatch.setenv("PYSPARK_GATEWAY_PORT", port)
    session, gateway = mock.Mock(), mock.Mock()
    gateway.jvm.org.apache.spark.util.Utils.classForName.side_effect = Py4JError("no such class")

    with pytest.raises(MissingDependencyError, match=re.escape(step)):
        subject._check_delta(session, gateway)

    session.stop.assert_called_once()


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize("answer", ["", "trap '' TERM"], ids=["at once", "only when killed"])
def test_a_signal_during_the_start_leaves_no_process_behind(
    answer: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    submit, started = tmp_path / "bin" / "spark-submit", tmp_path / "started"
    submit.parent.mkdir()
    submit.write_text(f"#!/bin/sh\n{answer}\necho $$ >{started}.new; mv {started}.new {started}\nexec sleep 600\n")
    submit.chmod(0o755)
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    monkeypatch.setattr(subject, "_SECONDS_TO_END", 0.2)

    def interrupt(*_: object) -> None:
        raise Interrupted

    def send() -> None:
        while not started.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    sender = threading.Thread(target=send)
    try:
        sender.start()
        with pytest.raises(Interrupted):
            subject._launch(LOCAL, tmp_path / "spark.log", None)
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)

    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


@pytest.mark.parametrize("command", ["cat", "trap '' TERM; exec sleep 600"], ids=["at once", "only when killed"])
def test_the_jvm_of_this_process_is_ended_and_forgotten(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    process = subprocess.Popen(["sh", "-c", command], stdin=subprocess.PIPE)
    gateway = mock.Mock(proc=process)
    gateway.shutdown.side_effect = Py4JError("it has ended already")
    monkeypatch.setattr(subject, "_SECONDS_TO_END", 0.2)
    monkeypatch.setattr(SparkContext, "_gateway", gateway)
    monkeypatch.setattr(SparkContext, "_jvm", gateway.jvm)

    assert subject.end_jvm()

    assert process.returncode is not None
    assert (SparkContext._gateway, SparkContext._jvm) == (None, None)
    assert not subject.end_jvm()


@pytest.mark.parametrize("case", ["of spark-submit", "of a session"])
def test_another_jvm_is_left_alone(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    gateway = mock.Mock(proc=None if case == "of spark-submit" else mock.Mock())
    monkeypatch.setattr(SparkContext, "_gateway", gateway)
    monkeypatch.setattr(SparkContext, "_active_spark_context", "a context" if case == "of a session" else None)

    assert not subject.end_jvm()

    gateway.shutdown.assert_not_called()
    assert SparkContext._gateway is gateway


@pytest.mark.parametrize("has_program", [True, False])
def test_a_process_that_cannot_be_started_is_the_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, has_program: bool
) -> None:
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    if has_program:
        monkeypatch.setattr(subprocess, "_fork_exec", mock.Mock(side_effect=OSError(11, "Try again")))

    with Path(os.devnull).open("wb") as output, pytest.raises(OSError, match=r"Try again|No such file"):
        subject._gateway_of_new_jvm(SparkConf(loadDefaults=False), output)


@pytest.mark.parametrize(("master", "is_local"), [("local[1]", True), ("spark://host:7077", False)])
def test_only_a_local_jvm_gets_options(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, master: str, *, is_local: bool
) -> None:
    for name in OPTIONS_OF_THE_USER:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPARK_SUBMIT_OPTS", "-Dmine=1")
    monkeypatch.setattr(jvm_tuning, "noted_java", lambda: 17)
    submit, options = tmp_path / "bin" / "spark-submit", tmp_path / "options"
    submit.parent.mkdir()
    submit.write_text(f'#!/bin/sh\necho "$SPARK_SUBMIT_OPTS" >{options}\nexit 1\n')
    submit.chmod(0o755)
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))

    with pytest.raises(RuntimeError):
        subject._launch({"spark.master": master}, tmp_path / "spark.log", None)

    assert options.read_text().split()[0] == "-Dmine=1"
    assert ("-XX:Tier4" in options.read_text()) == is_local
