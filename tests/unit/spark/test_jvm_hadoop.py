from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from sparkscore.spark.jvm_hadoop import find_s3_settings

DEFAULT = "core-default.xml"
SETTINGS = {
    "endpoint": ("http://127.0.0.1:9000", "programmatically"),
    "threads.max": ("96", DEFAULT),
    "region": ("x", "/etc/hadoop/core-site.xml"),
}


class Conf:
    """Hadoop's settings, with what they say about where each value comes from."""

    def getPropsWithPrefix(self, prefix: str) -> dict[str, str]:  # noqa: N802 - the name is Hadoop's
        assert prefix == "fs.s3a."
        return {name: value for name, (value, _) in SETTINGS.items()}

    def getPropertySources(self, name: str) -> list[str] | None:  # noqa: N802
        source = SETTINGS[name.removeprefix("fs.s3a.")][1]
        return [source]

    def getClassByNameOrNull(self, _: str) -> None:  # noqa: N802
        return None

    def get(self, _: str) -> str:
        return "jceks://file/secrets"


def session_with(write: Any) -> SparkSession:
    writer = SimpleNamespace(writeValueAsString=write)
    jvm = SimpleNamespace(
        com=SimpleNamespace(
            fasterxml=SimpleNamespace(
                jackson=SimpleNamespace(databind=SimpleNamespace(ObjectMapper=lambda: writer)),
            )
        )
    )
    state = SimpleNamespace(newHadoopConf=Conf)
    return cast("SparkSession", SimpleNamespace(_jvm=jvm, _jsparkSession=SimpleNamespace(sessionState=lambda: state)))


def test_settings_that_nobody_has_set_are_left_out() -> None:
    found = find_s3_settings(session_with(json.dumps))

    assert found is not None
    assert found.given == {"endpoint": "http://127.0.0.1:9000", "region": "x"}
    assert (found.has_connector, found.has_provider) == (False, True)
    assert "127.0.0.1" not in str(found)


@pytest.mark.parametrize("error", [Py4JError("not allowed"), AttributeError("no such method"), ValueError("no JSON")])
def test_a_session_that_does_not_show_them_has_none(error: Exception) -> None:
    def fail(_: object) -> str:
        raise error

    assert find_s3_settings(session_with(fail)) is None


def test_a_connect_session_does_not_show_them() -> None:
    assert find_s3_settings(cast("SparkSession", SimpleNamespace())) is None
