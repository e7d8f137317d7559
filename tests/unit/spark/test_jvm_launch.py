from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

import pytest

from sparkscore.errors import ConfigError, MissingDependencyError
from sparkscore.spark.jvm_launch import _escaped, launching
from sparkscore.spark.jvm_session import _start_error
from sparkscore.spark.prerequisites import check_java

_SETTINGS = {"spark.master": "local[2]", "spark.hadoop.a.password": "tr0ub4dor=ü\n", "spark.app.name": "a b"}


def _file() -> Path:
    words = shlex.split(os.environ["PYSPARK_SUBMIT_ARGS"])
    return Path(words[words.index("--properties-file") + 1])


def test_settings_travel_in_a_file_that_only_its_owner_reads_and_that_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "--jars a.jar pyspark-shell")

    with launching(_SETTINGS, is_local=True) as shown:
        file, arguments = _file(), os.environ["PYSPARK_SUBMIT_ARGS"]
        mode, lines = stat.S_IMODE(file.stat().st_mode), file.read_text(encoding="ascii").splitlines()

    assert (mode, shown, len(lines)) == (0o600, {}, 3)
    assert arguments.endswith(" --load-spark-defaults --jars a.jar pyspark-shell")
    assert lines[1].startswith("spark\\u002ehadoop")
    assert not file.exists()
    assert os.environ["PYSPARK_SUBMIT_ARGS"] == "--jars a.jar pyspark-shell"


def test_a_file_of_the_users_own_is_kept_and_no_secret_goes_to_the_command_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "--properties-file mine.conf pyspark-shell")

    with launching(_SETTINGS, is_local=True) as shown:
        assert os.environ["PYSPARK_SUBMIT_ARGS"] == "--properties-file mine.conf pyspark-shell"

    assert shown == {"spark.master": "local[2]", "spark.app.name": "a b"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LC_ALL": "C"}, "C.UTF-8"),
        ({"LANG": "C"}, "C.UTF-8"),
        ({"LANG": "POSIX", "LC_CTYPE": "C"}, "C.UTF-8"),
        ({}, "C.UTF-8"),
        ({"LANG": "de_DE.UTF-8"}, None),
        ({"LC_ALL": "en_US.utf8", "LANG": "C"}, "en_US.utf8"),
    ],
)
def test_the_jvm_gets_a_locale_whose_names_are_utf8(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str | None
) -> None:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with launching({}, is_local=False):
        during = os.environ.get("LC_ALL")

    assert during == expected
    assert os.environ.get("LC_ALL") == variables.get("LC_ALL")


def test_a_local_session_needs_no_name_of_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARK_LOCAL_IP", raising=False)
    with launching({}, is_local=True):
        assert os.environ["SPARK_LOCAL_IP"] == "127.0.0.1"
    with launching({}, is_local=False):
        assert "SPARK_LOCAL_IP" not in os.environ


def test_a_secret_among_javas_options_is_refused() -> None:
    options = {"spark.driver.extraJavaOptions": "-Xss4m -Dstore.password=tr0ub4dor"}

    with pytest.raises(ConfigError) as caught, launching(options, is_local=True):
        pass

    assert caught.value.code == "SECRET_ON_COMMAND_LINE"
    assert "tr0ub4dor" not in str(caught.value)


def test_a_user_without_a_name_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_123)

    with pytest.raises(ConfigError, match="4000000123") as caught, launching({}, is_local=True):
        pass

    assert caught.value.code == "USER_WITHOUT_NAME"


def test_characters_beyond_ascii_are_escaped_as_java_reads_them() -> None:
    assert _escaped("aü\n😀=") == "a\\u00fc\\u000a\\ud83d\\ude00\\u003d"


def test_a_java_that_does_not_start_is_not_called_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'Error occurred during initialization of VM'\necho 'No memory.'\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    with pytest.raises(MissingDependencyError) as caught:
        check_java()

    assert caught.value.code == "JAVA_FAILED"
    assert "Error occurred during initialization of VM. No memory" in str(caught.value)


@pytest.mark.parametrize(
    ("cause", "step"),
    [
        ("/root/a.jar -> /tmp/spark-1/a.jar: No space left on device", "Make room in '/"),
        ("basedir must be absolute: ?/.ivy2.5.2/local", "spark.jars.ivy=DIR"),
        ("Could not parse Master URL: 'x'", "Check the master"),
    ],
)
def test_a_start_that_failed_says_what_helps(cause: str, step: str) -> None:
    assert step in str(_start_error(Path("spark.log"), cause))
