from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import deltalake
import pyspark
import pytest
from chispa import assert_df_equality

from sparkscore.errors import ConfigError, MissingDependencyError
from sparkscore.spark.jvm_conf import written_settings
from sparkscore.spark.session import local_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.each_spark
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("spark.databricks.delta.snapshotPartitions", "2"),
        ("spark.driver.bindAddress", "127.0.0.1"),
        ("spark.driver.host", "127.0.0.1"),
        ("spark.python.worker.faulthandler.enabled", "true"),
        ("spark.sql.codegen.hugeMethodLimit", "8000"),
        ("spark.sql.session.timeZone", "UTC"),
        ("spark.sql.sources.partitionColumnTypeInference.enabled", "false"),
        ("spark.ui.enabled", "false"),
        ("spark.ui.showConsoleProgress", "false"),
    ],
)
def test_the_session_has_the_settings_that_scoring_relies_on(spark: SparkSession, key: str, value: str) -> None:
    assert spark.conf.get(key) == value


def test_the_callers_settings_win(spark: SparkSession) -> None:
    assert spark.conf.get("spark.sql.shuffle.partitions") == "2"
    assert spark.sparkContext.master == "local[2,4]"


def test_an_active_session_is_returned_unchanged(spark: SparkSession) -> None:
    again = local_session(master="local[1]", conf={"spark.sql.session.timeZone": "Asia/Tokyo"}, app_name="other")

    assert again is spark
    assert again.sparkContext.appName == "sparkscore-tests"
    assert again.conf.get("spark.sql.session.timeZone") == "UTC"


@pytest.mark.each_spark
def test_delta_tables_are_written_and_read(spark: SparkSession, tmp_path: Path) -> None:
    rows = spark.createDataFrame([(1, "a", 0.5), (2, None, float("nan"))], "id bigint, name string, score double")

    rows.write.format("delta").save(str(tmp_path / "table"))

    table = deltalake.DeltaTable(tmp_path / "table")
    assert sorted(table.to_pyarrow_table().column("id").to_pylist()) == [1, 2]
    read = spark.read.format("delta").load(str(tmp_path / "table"))
    assert_df_equality(read, rows, ignore_row_order=True, allow_nan_equality=True)


def test_workers_run_this_python(spark: SparkSession) -> None:
    def executable(batches: object) -> object:
        import sys  # noqa: PLC0415 - in the worker

        import pyarrow as pa  # noqa: PLC0415 - in the worker

        for _ in batches:  # type: ignore[attr-defined]
            yield pa.RecordBatch.from_pydict({"python": [sys.executable]})

    found = spark.range(1).mapInArrow(executable, "python string").collect()  # type: ignore[arg-type]

    assert [row.python for row in found] == [sys.executable]


def test_a_process_with_a_connect_session_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_CONNECT_MODE_ENABLED", "1")

    with pytest.raises(ConfigError, match=r"\[CONNECT_SESSION\].*Pass the Spark Connect session to 'score'"):
        local_session()


@pytest.mark.parametrize("version", ["3.5.6", "4.4.0"])
def test_another_spark_is_refused_with_those_that_work(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(pyspark, "__version__", version)

    with pytest.raises(MissingDependencyError, match=r"\[SPARK_VERSION\].*'4\.0', '4\.1', '4\.2', '4\.3'") as refused:
        local_session()

    assert "Spark 4.0 (Databricks Runtime 17.3 LTS)" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.each_spark
def test_the_jvm_writes_the_settings_of_a_session_in_a_few_calls(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    client = type(spark.sparkContext._gateway._gateway_client)  # type: ignore[union-attr]  # there is one
    send = client.send_command
    spark.conf.set("spark.sparkscore.odd", 'a "b", {c}\n=ü\U0001f600')

    def counted(*given: object, **more: object) -> object:
        sent.append("")
        return send(*given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(client, "send_command", counted)
        found = written_settings(spark)

    assert found is not None
    assert found == dict(spark.conf.getAll)
    assert found["spark.sparkscore.odd"] == 'a "b", {c}\n=ü\U0001f600'
    assert len(sent) < 20
    spark.conf.unset("spark.sparkscore.odd")
