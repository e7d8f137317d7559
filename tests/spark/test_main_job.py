from __future__ import annotations

import hashlib
import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

import sparkscore

MakeDeployment = Callable[..., Path]

PER_FILE = """
from pathlib import Path

def run(mini_batch):
    return [len(Path(path).read_text().split()) for path in mini_batch]
"""

WHOLE_MINI_BATCH = """
import numpy as np

def init():
    global weights
    weights = np.array([0.1, -0.2, 0.7])

def run(frame):
    return frame[["a", "b", "c"]].to_numpy() @ weights
"""

PER_ROW_TEXT = """
def run(frame):
    return [f"{text[::-1]} #{len(text)}" for text in frame["text"]]
"""


def predictions_of_a_plain_loop(deployment: Path, mini_batches: list[Any]) -> list[Any]:
    script = runpy.run_path(str(deployment.parent / "code" / "score.py"))
    if "init" in script:
        script["init"]()
    return [element for mini_batch in mini_batches for element in script["run"](mini_batch)]


def test_files_give_what_a_plain_loop_gives(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(57):
        (tmp_path / "in" / f"{number:02}.txt").write_text("word " * (number % 7))
    deployment = make_deployment(PER_FILE, settings={"mini_batch_size": 5})
    files = sorted(str(path) for path in (tmp_path / "in").iterdir())

    run = sparkscore.score(spark, deployment, input=tmp_path / "in", output=tmp_path / "out")

    table = deltalake.DeltaTable(str(tmp_path / "out")).to_pyarrow_table().sort_by("source_file")
    assert table.column("source_file").to_pylist() == files
    assert table.column("prediction").to_pylist() == predictions_of_a_plain_loop(deployment, [files])
    assert run.record["counts"] == {
        "items": 57, "scored": 57, "failed": 0, "skipped": 0, "mini_batches": 12, "attempts": 12, "probe_calls": 1,
        "scored_in_parts": 0, "broken_contracts": 0,
    }  # fmt: skip


def test_a_whole_mini_batch_script_gives_what_a_plain_loop_gives(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    numbers = np.random.default_rng(7).normal(size=(2503, 3))
    frame = pd.DataFrame({"key": range(2503), "a": numbers[:, 0], "b": numbers[:, 1], "c": numbers[:, 2]})
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "rows.parquet", row_group_size=400)
    deployment = make_deployment(WHOLE_MINI_BATCH, settings={"mini_batch_size": 100})
    mini_batches = [frame.iloc[start : start + 100].reset_index(drop=True) for start in range(0, 2503, 100)]

    sparkscore.score(
        spark, deployment, input=tmp_path / "rows.parquet", output=tmp_path / "out", output_format="parquet"
    )

    table = pyarrow.dataset.dataset(tmp_path / "out", partitioning="hive").to_table().sort_by("key")
    expected = predictions_of_a_plain_loop(deployment, mini_batches)
    assert table.column("prediction").to_pylist() == expected
    assert table.select(["a", "b", "c"]).to_pandas().equals(frame[["a", "b", "c"]])


def test_a_per_row_text_script_gives_what_a_plain_loop_gives(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    texts = [
        "",
        "a",
        "Grüße",
        "日本語",
        "emoji 🎉",
        "tab\there",
        "line\nbreak",
        "nul\0byte",
        "quote\"'",
        *map(str, range(91)),
    ]
    spark.createDataFrame(list(enumerate(texts)), "id bigint, text string").write.format("delta").save(
        str(tmp_path / "in")
    )
    deployment = make_deployment(PER_ROW_TEXT)

    run = sparkscore.score(spark, deployment, input=tmp_path / "in", output=tmp_path / "out", output_format="parquet")

    rows = {row["id"]: row for row in run.predictions().collect()}
    expected = predictions_of_a_plain_loop(deployment, [pd.DataFrame({"text": texts})])
    assert [rows[key]["prediction"] for key in range(len(texts))] == expected
    assert [rows[key]["text"] for key in range(len(texts))] == texts
    assert run.record["input"]["version"] == 0


def test_the_model_is_loaded_once_in_each_worker_process(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(256):
        (tmp_path / "in" / f"{number:04}.txt").touch()
    (tmp_path / "loads").mkdir()
    deployment = make_deployment(
        """
        import os, sys, uuid
        from pathlib import Path

        def init():
            Path(sys.argv[1], f"{os.getpid()}-{uuid.uuid4().hex}").touch()

        def run(mini_batch):
            return [os.getpid()] * len(mini_batch)
        """,
    )

    run = sparkscore.score(
        spark,
        deployment,
        input=tmp_path / "in",
        output=tmp_path / "out",
        output_format="parquet",
        settings={"code_configuration.arguments": [str(tmp_path / "loads")], "settings.mini_batch_size": 1},
    )

    plan = pq.ParquetFile(tmp_path / "runs" / run.record["run_id"] / "plan.parquet")
    processes = {row["prediction"] for row in run.predictions().select("prediction").distinct().collect()}
    assert plan.num_row_groups == 8, "the run should have 8 work units"
    assert len(list((tmp_path / "loads").iterdir())) == run.record["model_loads"] == run.record["worker_processes"]
    assert processes <= {int(path.name.partition("-")[0]) for path in (tmp_path / "loads").iterdir()}
    assert run.record["worker_processes"] <= 4


def test_64_partitions_of_rows_load_the_model_once_in_each_worker_process(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    for number in range(64):
        (tmp_path / "in").mkdir(exist_ok=True)
        pq.write_table(pa.table({"id": range(number * 10, number * 10 + 10)}), tmp_path / "in" / f"{number:02}.parquet")
    deployment = make_deployment("def run(frame): return frame['id'].tolist()")
    spark.conf.set("spark.sql.files.openCostInBytes", "128MB")
    try:
        run = sparkscore.score(
            spark, deployment, input=tmp_path / "in", output=tmp_path / "out", output_format="parquet"
        )
    finally:
        spark.conf.unset("spark.sql.files.openCostInBytes")

    assert run.record["counts"]["mini_batches"] == 64
    assert run.record["model_loads"] == run.record["worker_processes"] <= 4
    assert sorted(row["prediction"] for row in run.predictions().collect()) == list(range(640))


@pytest.mark.each_spark
def test_carried_columns_are_exact(spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment) -> None:
    spark.sql(
        """
        SELECT CAST(NULL AS BIGINT) AS big, CAST(1.5 AS FLOAT) AS f, CAST('NaN' AS DOUBLE) AS d,
               CAST('12345678901234567890.123456789' AS DECIMAL(38, 9)) AS dec, DATE'9999-12-31' AS day,
               TIMESTAMP'0001-01-01 00:00:00.000001Z' AS ts, TIMESTAMP_NTZ'2026-03-29 02:30:00' AS ntz,
               X'00FF' AS bin, ARRAY(1, NULL) AS arr, MAP('k', CAST(NULL AS INT)) AS map,
               NAMED_STRUCT('a', 1L, 'b', ARRAY('x')) AS st, true AS flag, CAST(1 AS TINYINT) AS tiny, '' AS text
        UNION ALL
        SELECT 9007199254740993, CAST('-0.0' AS FLOAT), CAST('-Infinity' AS DOUBLE), NULL, DATE'0001-01-01',
               NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        """
    ).coalesce(1).write.format("delta").save(str(tmp_path / "in"))
    deployment = make_deployment(
        """
        def run(frame):
            columns = len(frame.columns)
            frame.iloc[:, :] = None
            return [columns] * len(frame)
        """,
        input={"dtypes": "arrow"},
    )

    sparkscore.score(spark, deployment, input=tmp_path / "in", output=tmp_path / "out")

    before, after = (spark.read.format("delta").load(str(tmp_path / name)) for name in ("in", "out"))
    assert [f.simpleString() for f in after.schema][:14] == [f.simpleString() for f in before.schema]
    tables = [frame.select(before.columns).orderBy("f").toArrow().to_pylist() for frame in (before, after)]
    # As text: NaN does not equal itself, and -0.0 equals 0.0.
    assert str(tables[1]) == str(tables[0])
    assert [row[0] for row in after.select("prediction").distinct().collect()] == [14]


def test_the_record_agrees_with_the_table(spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment) -> None:
    pq.write_table(pa.table({"id": range(1000)}), tmp_path / "rows.parquet")
    (tmp_path / "model.txt").write_text("a model")
    deployment = make_deployment(
        "def run(frame): return [None if key % 2 else key for key in frame['id']]",
        model={"path": "../model.txt", "name": "even"},
        environment_variables={"API_TOKEN": "very-secret", "REGION": "north"},
    )

    run = sparkscore.score(
        spark, deployment, input=tmp_path / "rows.parquet", output=tmp_path / "out", run_id="nightly.1"
    )

    record = json.loads((tmp_path / "runs" / "nightly.1" / "record.json").read_text())
    table = deltalake.DeltaTable(str(tmp_path / "out"))
    rows = table.to_pyarrow_table()
    assert record == run.record
    assert (record["state"], record["error"]) == ("COMPLETE", None)
    assert record["output"]["rows"] == rows.num_rows == record["counts"]["scored"] == 1000
    assert record["output"]["version"] == table.version() == 0
    assert json.loads(table.history(1)[0]["userMetadata"])["run_id"] == "nightly.1"
    assert set(rows.column("run_id").to_pylist()) == {"nightly.1"}
    assert set(rows.column("model_name").to_pylist()) == {"even"}
    assert set(rows.column("model_version").to_pylist()) == {f"sha256:{record['model']['sha256'][:12]}"}
    assert set(rows.column("source_file").to_pylist()) == {str(tmp_path / "rows.parquet")}
    assert record["started_at"] <= pc.min(rows.column("scored_at")).as_py().isoformat() <= record["ended_at"]
    assert pc.sum(pc.is_null(rows.column("prediction"))).as_py() == 500
    assert "very-secret" not in json.dumps(record)
    assert record["config"]["environment_variables"]["REGION"] == "north"
    assert not (tmp_path / "out" / "_sparkscore").exists()


def test_the_same_request_under_the_same_id_is_not_scored_again(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    pq.write_table(pa.table({"id": range(10)}), tmp_path / "rows.parquet")
    deployment = make_deployment("def run(frame): return frame['id'].tolist()")
    options: dict[str, Any] = {
        "input": tmp_path / "rows.parquet", "output": tmp_path / "out", "run_id": "once", "mode": "append",
    }  # fmt: skip

    first = sparkscore.score(spark, deployment, **options)
    second = sparkscore.score(spark, deployment, **options)

    assert second.record == first.record
    assert deltalake.DeltaTable(str(tmp_path / "out")).version() == 0
    assert sorted(row["prediction"] for row in second.predictions().collect()) == list(range(10))
    with pytest.raises(sparkscore.SparkscoreError, match=r"\[RUN_ID_USED\]"):
        sparkscore.score(spark, deployment, **options, settings={"settings.mini_batch_size": 3})
    assert deltalake.DeltaTable(str(tmp_path / "out")).version() == 0


def test_code_beside_its_data_stays_the_same_code(spark: SparkSession, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": range(10)}), tmp_path / "rows.parquet")
    (tmp_path / "score.py").write_text("import beside\ndef run(frame): return [beside.ONE] * len(frame)")
    (tmp_path / "beside.py").write_text("ONE = 1")
    (tmp_path / "deployment.yml").write_text(
        "code_configuration: {scoring_script: score.py}\ninput: {location: rows.parquet}\noutput: {location: out}\n"
    )

    runs = [sparkscore.score(spark, tmp_path / "deployment.yml", run_id="once") for _ in range(2)]

    assert runs[0].record == runs[1].record
    assert deltalake.DeltaTable(str(tmp_path / "out")).version() == 0


@pytest.mark.parametrize("output_format", ["delta", "parquet"])
def test_the_stage_may_be_elsewhere(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, output_format: str
) -> None:
    pq.write_table(pa.table({"id": range(10)}), tmp_path / "rows.parquet")

    run = sparkscore.score(
        spark,
        make_deployment("def run(frame): return frame['id'].tolist()"),
        input=tmp_path / "rows.parquet",
        output=tmp_path / "deep" / "out",
        output_format=output_format,
        settings={"output.stage": str(tmp_path / "stage")},
    )

    assert run.predictions().count() == 10
    assert not (tmp_path / "stage").exists()


def test_a_stage_that_cannot_be_renamed_into_place_is_refused_before_scoring(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    other = Path("/dev/shm")  # noqa: S108 - another file system is what this is about
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    pq.write_table(pa.table({"id": range(10)}), tmp_path / "rows.parquet")

    with pytest.raises(sparkscore.SparkscoreError, match=r"\[STAGE_FILE_SYSTEM\]") as caught:
        sparkscore.score(
            spark,
            make_deployment("def run(frame): return frame['id'].tolist()"),
            input=tmp_path / "rows.parquet",
            output=tmp_path / "out",
            output_format="parquet",
            settings={"output.stage": str(other / tmp_path.name)},
        )
    assert caught.value.record is not None
    assert caught.value.record["counts"]["attempts"] == 0
    assert not (other / tmp_path.name).exists()


def test_columns_may_have_dots_and_spaces_in_their_names(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    table = pa.table({"a.b": [1, 2], "a b": [3, 4], "c`d": [5, 6]})
    pq.write_table(table, tmp_path / "rows.parquet")
    deployment = make_deployment("def run(frame): return (frame['a.b'] + frame['a b'] + frame['c`d']).tolist()")

    run = sparkscore.score(
        spark, deployment, input=tmp_path / "rows.parquet", output=tmp_path / "out", output_format="parquet"
    )

    rows = sorted(tuple(row)[:4] for row in run.predictions().collect())
    assert rows == [(1, 3, 5, 9), (2, 4, 6, 12)]


def test_a_model_that_changes_under_the_run_is_scored_as_it_was(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    pq.write_table(pa.table({"id": range(10)}), tmp_path / "rows.parquet")
    (tmp_path / "model.txt").write_text("old")
    deployment = make_deployment(
        f"""
        import os
        from pathlib import Path
        def run(frame):
            Path({str(tmp_path / "model.txt")!r}).write_text("new")
            return [(Path(os.environ["AZUREML_MODEL_DIR"]) / "model.txt").read_text()] * len(frame)
        """,
        model={"path": str(tmp_path / "model.txt")},
    )

    run = sparkscore.score(
        spark, deployment, input=tmp_path / "rows.parquet", output=tmp_path / "out", output_format="parquet"
    )

    assert {row["prediction"] for row in run.predictions().collect()} == {"old"}
    assert run.record["model"]["sha256"] == hashlib.sha256(b"old").hexdigest()


def test_a_complete_run_whose_rows_are_gone_is_not_called_done(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    pq.write_table(pa.table({"id": range(10)}), tmp_path / "rows.parquet")
    deployment = make_deployment("def run(frame): return frame['id'].tolist()")
    options: dict[str, Any] = {
        "input": tmp_path / "rows.parquet", "output": tmp_path / "out", "output_format": "parquet", "run_id": "once"
    }  # fmt: skip
    sparkscore.score(spark, deployment, **options)
    shutil.rmtree(tmp_path / "out")

    with pytest.raises(sparkscore.SparkscoreError, match=r"\[RUN_RESULT_GONE\]"):
        sparkscore.score(spark, deployment, **options)


def test_two_runs_append_and_each_gives_its_own_rows(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    pq.write_table(pa.table({"id": range(10)}), tmp_path / "rows.parquet")
    deployment = make_deployment("def run(frame): return frame['id'].tolist()")

    runs = [
        sparkscore.score(
            spark, deployment, input=tmp_path / "rows.parquet", output=tmp_path / "out", mode="append",
            output_format="parquet",
        )
        for _ in range(2)
    ]  # fmt: skip

    assert [run.predictions().count() for run in runs] == [10, 10]
    assert pyarrow.dataset.dataset(tmp_path / "out", partitioning="hive").count_rows() == 20


@pytest.mark.parametrize(
    ("script", "settings", "columns"),
    [
        ("def run(f): return f['id'].to_numpy()", {}, ["id", "prediction"]),
        ("def run(f): return [(k, str(k)) for k in f['id']]", {}, ["id", "c0", "c1"]),
        ("def run(f): return [{'label': 'x', 'score': 0.5}] * len(f)", {}, ["id", "label", "score"]),
        ("def run(f): return f.assign(twice=f['id'] * 2)[['twice']]", {}, ["twice"]),
        ("def run(f): return f['id'].tolist()", {"output.carry": []}, ["prediction"]),
        ("def run(f): return f['id'].tolist()", {"output.schema": "risk double"}, ["id", "risk"]),
        ("def run(f): return f['id'].tolist()", {"columns": {"prediction": "p", "run_id": "job"}}, ["id", "p"]),
        ("def run(f):\n    for k in f['id']:\n        yield [k, 'x']", {}, ["id", "c0", "c1"]),
    ],
)
def test_what_run_returns_becomes_columns(
    spark: SparkSession,
    tmp_path: Path,
    make_deployment: MakeDeployment,
    script: str,
    settings: dict[str, object],
    columns: list[str],
) -> None:
    pq.write_table(pa.table({"id": range(20)}), tmp_path / "rows.parquet")

    run = sparkscore.score(
        spark,
        make_deployment(script),
        input=tmp_path / "rows.parquet",
        output=tmp_path / "out",
        output_format="parquet",
        settings={"settings.mini_batch_size": 7, **settings},
    )

    # The folders of the runs are the last column of a Parquet result.
    lineage = ["model_name", "model_version", "scored_at", "source_file", "job" if "columns" in settings else "run_id"]
    assert run.predictions().columns == [*columns, *lineage]
    assert run.predictions().count() == 20
