"""Helpers for tests that change session settings or expect a run to be refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import sparkscore
from sparkscore import SparkscoreError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@contextmanager
def session_settings(spark: SparkSession, settings: dict[str, str]) -> Iterator[None]:
    """Set settings of a Spark session, and restore them at the end."""
    before = {key: spark.conf.get(key, None) for key in settings}
    for key, value in settings.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key, was in before.items():
            spark.conf.unset(key) if was is None else spark.conf.set(key, was)


def refused(spark: SparkSession, deployment: Path, output: Path, **options: Any) -> SparkscoreError:
    """Score, check that the run fails with a known code and publishes nothing, and return the error."""
    with pytest.raises(SparkscoreError) as caught:
        sparkscore.score(spark, deployment, output=output, **options)
    assert not output.exists()
    assert not output.with_name(f"{output.name}_quarantine").exists()
    assert caught.value.code not in {"UNEXPECTED", "SPARK_JOB"}
    assert "\n" not in str(caught.value)
    if caught.value.record is not None:
        assert caught.value.record["state"] == "FAIL"
    return caught.value
