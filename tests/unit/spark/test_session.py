from __future__ import annotations

from pathlib import Path

import pytest

from sparkscore.spark import session as subject

DELTA = "org.apache.spark.sql.delta.catalog.DeltaCatalog"


@pytest.fixture(autouse=True)
def _no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYSPARK_SUBMIT_ARGS", raising=False)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("spark.sql.catalog.spark_catalog", DELTA),
        ("spark.sql.extensions", "com.example.Own,io.delta.sql.DeltaSparkSessionExtension"),
        ("spark.jars.packages", "io.delta:delta-spark_4.2_2.13:4.4.0"),
        ("spark.jars", "/jars/delta-spark_4.2_2.13-4.4.0.jar"),
        ("spark.databricks.delta.properties.defaults.appendOnly", "true"),
    ],
)
def test_a_setting_that_names_delta_loads_it(key: str, value: str, tmp_path: Path) -> None:
    assert subject._names_delta({key: value}, tmp_path / "none")


def test_other_settings_do_not(tmp_path: Path) -> None:
    given = {"spark.driver.memory": "1g", "spark.executorEnv.TIMEDELTA": "1", "spark.jars": "/jars/own.jar"}

    assert not subject._names_delta(given, tmp_path / "none")


def test_a_defaults_file_or_arguments_that_name_delta_load_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = tmp_path / "spark-defaults.conf"
    defaults.write_text("spark.driver.memory 1g\n")
    assert not subject._names_delta({}, defaults)

    defaults.write_text(f"spark.sql.catalog.spark_catalog {DELTA}\n")
    assert subject._names_delta({}, defaults)

    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "--packages io.delta:delta-spark_4.2_2.13:4.4.0 pyspark-shell")
    assert subject._names_delta({}, tmp_path / "none")


def test_a_defaults_file_that_cannot_be_read_is_taken_for_one_with_delta(tmp_path: Path) -> None:
    assert subject._names_delta({}, tmp_path)
