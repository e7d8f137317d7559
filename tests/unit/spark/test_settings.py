from __future__ import annotations

import threading
from typing import cast
from unittest.mock import Mock

import pytest
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from sparkscore.errors import ConfigError
from sparkscore.spark.settings import PINNED, PINNED_FOR_WRITING, pinned_settings, setting_of

CASE = "spark.sql.caseSensitive"
PARSER = "spark.sql.legacy.timeParserPolicy"
STALE = "spark.databricks.delta.stalenessLimit"
OUTPUT = "spark.sql.parquet.outputTimestampType"
DEFAULTS = {OUTPUT: "INT96", "spark.sql.session.timeZone": "Europe/Berlin"}


class Conf:
    """The part of a session's settings that is used: a value of its own, else Spark's default."""

    def __init__(self, given: dict[str, str], forbidden: tuple[str, ...] = (), *, lists: bool = True) -> None:
        self.given = dict(given)
        self.changes: list[str] = []
        self._forbidden = forbidden
        self._lists = lists

    @property
    def getAll(self) -> dict[str, str]:  # noqa: N802 - Spark's name
        if not self._lists:
            raise AnalysisException("not here")
        return dict(self.given)

    def get(self, key: str, given: str | None = None) -> str | None:
        if key in self.given or given is not None:
            return self.given.get(key, given)
        default = DEFAULTS.get(key, {**PINNED, **PINNED_FOR_WRITING}.get(key))
        if default is None:
            raise AnalysisException(f"no {key}")
        return default

    def set(self, key: str, value: str) -> None:
        self._change(key)
        self.given[key] = value

    def unset(self, key: str) -> None:
        self._change(key)
        self.given.pop(key, None)

    def _change(self, key: str) -> None:
        if key in self._forbidden:
            raise AnalysisException(f"[CANNOT_MODIFY_CONFIG] {key}")
        self.changes.append(key)


class Session:
    def __init__(self, conf: Conf) -> None:
        self.conf = conf


def session_with(conf: Conf) -> SparkSession:
    return cast("SparkSession", Session(conf))


def test_what_is_as_it_must_be_is_not_touched() -> None:
    conf = Conf({CASE: "False", PARSER: "corrected", "spark.sql.shuffle.partitions": "7"})

    with pinned_settings(session_with(conf)):
        pass

    assert conf.changes == []


def test_a_setting_is_pinned_while_the_action_runs_and_given_back() -> None:
    given = {CASE: "true", STALE: "1h", "spark.sql.session.timeZone": "Asia/Tokyo"}
    conf = Conf(given)

    with pinned_settings(session_with(conf)):
        assert conf.given == {CASE: "false", "spark.sql.session.timeZone": "Asia/Tokyo"}

    assert conf.given == given


def test_settings_for_writing_are_pinned_while_a_table_is_written_only() -> None:
    conf = Conf({})

    with pinned_settings(session_with(conf), for_writing=True):
        assert conf.given == {OUTPUT: "TIMESTAMP_MICROS", "spark.sql.session.timeZone": "UTC"}

    assert conf.given == {}


def test_a_failure_gives_the_settings_back() -> None:
    conf = Conf({CASE: "true"})

    with pytest.raises(ValueError, match="broken"), pinned_settings(session_with(conf)):
        raise ValueError("broken")

    assert conf.given == {CASE: "true"}


def test_a_session_that_ends_under_an_action_does_not_hide_what_ended_it(monkeypatch: pytest.MonkeyPatch) -> None:
    conf = Conf({CASE: "true", PARSER: "LEGACY"})

    def end() -> None:
        monkeypatch.setattr(conf, "set", Mock(side_effect=ConnectionRefusedError))
        raise ValueError("the cause")

    with pytest.raises(ValueError, match="the cause"), pinned_settings(session_with(conf)):
        end()


def test_a_session_that_forbids_the_change_is_refused_and_stays_as_it_was() -> None:
    given = {PARSER: "LEGACY", CASE: "true"}
    conf = Conf(given, forbidden=(CASE,))

    with pytest.raises(ConfigError) as caught, pinned_settings(session_with(conf)):
        pytest.fail("the action must not run")

    assert caught.value.code == "SESSION_SETTING"
    assert CASE in str(caught.value)
    assert "got true" in str(caught.value)
    assert f"--conf {CASE}=false" in str(caught.value)
    assert conf.given == given


def test_a_session_that_forbids_changes_and_holds_the_right_values_is_accepted() -> None:
    conf = Conf({CASE: "false"}, forbidden=tuple(PINNED))

    with pinned_settings(session_with(conf)):
        pass


def test_a_platform_that_does_not_list_its_settings_is_asked_for_each() -> None:
    conf = Conf({CASE: "true"}, lists=False)

    with pinned_settings(session_with(conf)):
        assert conf.given == {CASE: "false"}

    assert conf.given == {CASE: "true"}


def test_actions_in_two_threads_share_a_change_until_the_last_one_ends() -> None:
    conf = Conf({CASE: "true"})
    session = session_with(conf)
    inside, leave = threading.Event(), threading.Event()

    def act() -> None:
        with pinned_settings(session):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=act)
    thread.start()
    inside.wait(10)
    with pinned_settings(session):
        leave.set()
        thread.join(10)
        assert conf.given == {CASE: "false"}

    assert conf.given == {CASE: "true"}


def test_a_setting_of_spark_itself_has_a_default_instead_of_an_exception() -> None:
    session = session_with(Conf({"spark.executor.cores": "4"}))

    assert setting_of(session, "spark.task.cpus") is None
    assert setting_of(session, "spark.task.cpus", "1") == "1"
    assert setting_of(session, "spark.executor.cores", "") == "4"
