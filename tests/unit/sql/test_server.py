from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.sql.server import (
    ServerOptions,
    check_address,
    check_login,
    check_options,
    check_sessions,
    fixed_settings,
    server_settings,
)

OPTIONS = ServerOptions(trusts_clients=True)


def test_the_server_starts_only_if_its_owner_trusts_its_clients() -> None:
    check_options(OPTIONS)

    with pytest.raises(ConfigError, match="add --trust-clients") as caught:
        check_options(ServerOptions())

    assert caught.value.code == ErrorCode.SQL_SERVER


@pytest.mark.parametrize("host", ["localhost", "", "127.0.0.1:80", "db.example.com"])
def test_a_host_is_an_address_because_a_name_may_mean_another_one_later(host: str) -> None:
    with pytest.raises(ConfigError, match="an IP address"):
        check_options(replace(OPTIONS, host=host))


@pytest.mark.parametrize("name", ["HIVE_SERVER2_THRIFT_BIND_HOST", "HIVE_SERVER2_THRIFT_PORT"])
def test_a_variable_that_would_move_the_server_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "0.0.0.0")  # noqa: S104 - it is refused

    with pytest.raises(ConfigError, match=name):
        check_options(OPTIONS)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::"])  # noqa: S104 - it is refused
@pytest.mark.parametrize("authentication", ["NONE", "NOSASL"])
def test_an_address_that_others_reach_needs_a_login(host: str, authentication: str) -> None:
    with pytest.raises(ConfigError, match="authentication = NO"):
        check_login(replace(OPTIONS, host=host), authentication)


@pytest.mark.parametrize(("host", "authentication"), [("127.0.0.1", "NONE"), ("::1", "NONE"), ("192.0.2.7", "LDAP")])
def test_an_address_of_this_machine_or_a_login_is_enough(host: str, authentication: str) -> None:
    check_login(replace(OPTIONS, host=host), authentication)


def test_the_owner_may_change_defaults_and_nothing_that_protects(tmp_path: Path) -> None:
    settings = server_settings(OPTIONS, tmp_path, {"spark.scheduler.mode": "FIFO", "spark.driver.memory": "2g"})

    assert (settings["spark.scheduler.mode"], settings["spark.driver.memory"]) == ("FIFO", "2g")
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"local", "logs", "resources", "scratch"}
    for key in fixed_settings(OPTIONS):
        with pytest.raises(ConfigError, match=key):
            server_settings(OPTIONS, tmp_path, {key: "true"})


def test_sessions_without_the_settings_of_the_server_are_refused() -> None:
    settings = fixed_settings(OPTIONS)
    check_sessions(OPTIONS, settings)

    with pytest.raises(ConfigError, match="a process of its own"):
        check_sessions(OPTIONS, settings | {"spark.sql.variable.substitute": "true"})
    with pytest.raises(ConfigError, match="runSQLOnFiles"):
        check_sessions(OPTIONS, {key: value for key, value in settings.items() if "runSQLOnFiles" not in key})


def test_a_server_that_listens_elsewhere_is_refused() -> None:
    check_address(OPTIONS, "127.0.0.1")

    with pytest.raises(ConfigError, match="got 192"):
        check_address(OPTIONS, "192.0.2.7")
