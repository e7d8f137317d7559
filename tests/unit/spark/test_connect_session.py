from __future__ import annotations

from contextlib import suppress

import pytest

from sparkscore.errors import ConfigError, MissingDependencyError
from sparkscore.redaction import redact
from sparkscore.spark import connect_session
from sparkscore.spark.connect_session import TOKEN, check_packages, check_url


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("sc://localhost", "localhost"),
        ("sc://localhost:15002", "localhost:15002"),
        ("sc://spark.example.com:443/;use_ssl=true;token=abcdefgh", "spark.example.com:443"),
        ("sc://localhost:1/;token=abcdefgh", "localhost:1"),
        ("sc://127.0.0.1:15002", "127.0.0.1:15002"),
        ("sc://127.0.0.1:15002/;token=abcdefgh;use_ssl=true", "127.0.0.1:15002"),
        ("sc://localhost:15002;user_id=ada", "localhost:15002"),
    ],
)
def test_a_url_that_pyspark_takes_is_taken(url: str, server: str) -> None:
    assert check_url(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "localhost:15002",
        "spark://host:7077",
        "sc://",
        "sc://host:port",
        "sc://host:15002/path",
        "sc://host:99999",
        "sc://ada@host:15002",
        "sc://host:15002/;token",
    ],
)
def test_another_url_is_refused_before_anything_starts(url: str) -> None:
    with pytest.raises(ConfigError, match=r"\[CONNECT_URL\].*expected a URL such as sc://localhost:15002"):
        check_url(url)


def test_the_url_of_a_local_spark_becomes_a_master() -> None:
    with pytest.raises(ConfigError, match=r"\[CONNECT_URL\].*Start a local Spark with --master 'local\[2\]'"):
        check_url("local[2]")


@pytest.mark.parametrize("url", ["sc://127.0.0.1:15002/;token=s3cret-token", "sc://[::1]:15002/;token=s3cret-token"])
def test_a_token_for_an_address_of_this_machine_is_refused_with_the_line_that_works(url: str) -> None:
    with pytest.raises(ConfigError, match=r"\[CONNECT_URL\].*--remote sc://localhost:15002") as refused:
        check_url(url)

    assert "s3cret-token" not in str(refused.value)


def test_so_is_a_token_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "another-s3cret")

    with pytest.raises(ConfigError, match=r"\[CONNECT_URL\]"):
        check_url("sc://127.0.0.1:15002")


@pytest.mark.parametrize("url", ["sc://localhost:1/;token=tok%2Bn-of-ada", "http://x;token=tok%2Bn-of-ada;rest"])
def test_a_token_is_masked_from_now_on_even_if_the_url_is_wrong(url: str) -> None:
    with suppress(ConfigError):
        check_url(url)

    assert "tok+n-of-ada" not in redact("the server said: bad token tok+n-of-ada here")


def test_missing_packages_are_named_with_the_line_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect_session, "_PACKAGES", ("sys", "grpc_that_is_missing", "missing.too"))

    with pytest.raises(MissingDependencyError, match=r"\[CONNECT_PACKAGES\].*'sparkscore\[connect\]'") as why:
        check_packages()

    assert why.value.got == "no 'grpc_that_is_missing', 'missing.too'"


def test_without_pyspark_the_client_for_a_server_is_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect_session, "find_spec", lambda name: None if name == "pyspark" else object())

    with pytest.raises(MissingDependencyError, match=r"^\[PYSPARK_MISSING\].*'sparkscore\[connect\]'"):
        check_packages()
