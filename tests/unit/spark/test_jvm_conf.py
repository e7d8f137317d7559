from __future__ import annotations

from types import SimpleNamespace
from typing import cast
from unittest.mock import Mock

import pytest
from py4j.protocol import Py4JError
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from sparkscore.spark.jvm_conf import written_settings
from sparkscore.spark.settings import pinned_settings

CASE = "spark.sql.caseSensitive"


class Session:
    """A session with one setting that must be pinned, whose JVM writes its settings as JSON or answers otherwise."""

    def __init__(self, answer: object) -> None:
        self._jvm = SimpleNamespace(com=Mock())
        writer = self._jvm.com.fasterxml.jackson.databind.ObjectMapper.return_value
        writer.writeValueAsString.side_effect = [answer]
        self.conf = Mock(getAll={CASE: "true"})
        self.conf.get.return_value = None


def session_with(answer: object) -> SparkSession:
    return cast("SparkSession", Session(answer))


def test_the_jvm_writes_all_settings_at_once() -> None:
    assert written_settings(session_with(f'{{"{CASE}": "true"}}')) == {CASE: "true"}


@pytest.mark.parametrize(
    "answer", ["[]", "{", None, AnalysisException("no"), Py4JError("no such class"), TypeError("not callable")]
)
def test_where_the_jvm_does_not_write_them_the_session_lists_them(answer: object) -> None:
    assert written_settings(session_with(answer)) is None

    session = session_with(answer)
    with pinned_settings(session):
        cast("Mock", session.conf.set).assert_called_with(CASE, "false")


def test_a_connect_session_has_no_jvm_to_ask() -> None:
    assert written_settings(cast("SparkSession", SimpleNamespace())) is None
