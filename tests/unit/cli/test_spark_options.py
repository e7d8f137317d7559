from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparkscore.cli.spark_options import SparkOptions
from sparkscore.errors import ConfigError

URL = "sc://localhost:15002"


@pytest.mark.parametrize(
    ("options", "variable", "server"),
    [
        (SparkOptions(), None, None),
        (SparkOptions(master="local[2]", spark_conf=["a=b"]), None, None),
        (SparkOptions(remote=URL), None, URL),
        (SparkOptions(), URL, URL),
        (SparkOptions(remote=URL), "sc://other", URL),
        (SparkOptions(), "", None),
    ],
)
def test_a_command_uses_the_server_of_the_option_or_of_the_variable(
    monkeypatch: pytest.MonkeyPatch, options: SparkOptions, variable: str | None, server: str | None
) -> None:
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    if variable is not None:
        monkeypatch.setenv("SPARK_REMOTE", variable)

    assert options.server == server


@pytest.mark.parametrize(
    ("options", "variable", "words"),
    [
        (SparkOptions(master="local", remote=URL), "", "got --master.*Leave out --master, or leave out --remote"),
        (SparkOptions(spark_conf=["a=b"], remote=URL), "", "got --spark-conf"),
        (SparkOptions(master="local", spark_conf=["a=b"]), URL, "got --master and --spark-conf.*unset SPARK_REMOTE"),
    ],
)
def test_a_server_and_a_spark_of_its_own_are_not_used_together(
    monkeypatch: pytest.MonkeyPatch, options: SparkOptions, variable: str, words: str
) -> None:
    monkeypatch.setenv("SPARK_REMOTE", variable)

    with pytest.raises(ConfigError, match=rf"\[CONNECT_OPTIONS\].*{words}"):
        _ = options.server


@pytest.mark.parametrize("command", [["run", "d.yml"], ["resume", "run-1"], ["publish", "run-1"], ["doctor"]])
def test_every_command_that_starts_spark_refuses_them_first(
    sparkscore: Callable[..., Any], command: list[str], tmp_path: Path
) -> None:
    answer = sparkscore(*command, "--remote", URL, "--master", "local[2]", "--runs", tmp_path / "runs")

    assert answer.exit_code == 2
    assert "[CONNECT_OPTIONS]" in answer.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("command", [["run", "d.yml"], ["resume", "run-1"], ["publish", "run-1", "--discard"]])
def test_and_a_url_that_is_not_valid(sparkscore: Callable[..., Any], command: list[str]) -> None:
    answer = sparkscore(*command, "--remote", "sc://127.0.0.1:1/;token=a-s3cret-of-ada")

    assert answer.exit_code == 2
    assert "[CONNECT_URL]" in answer.err
    assert "s3cret" not in answer.out + answer.err


def test_doctor_looks_at_what_a_client_needs(sparkscore: Callable[..., Any]) -> None:
    answer = sparkscore("doctor", "--quick", "--remote", URL, "--json")

    assert answer.exit_code == 0
    names = [check["name"] for check in answer.json["checks"]]
    assert names == ["Python", "pandas", "Spark Connect", "runs folder"]
    assert "for the server at localhost:15002" in answer.json["checks"][2]["found"]
