"""Score the same requests in a process of its own, on a Spark of one of several ways, and write down what came out.

python -m tests.support.spark_cases WAY FOLDER [CASE ...], where WAY is 'classic' or the URL of a Spark Connect server.
The folder has the input, made by `make_inputs`. Without names, all cases run. A process has one way only: with a Spark
Connect session, a builder of a classic session silently returns that one.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import deltalake
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import sparkscore
from sparkscore import SparkscoreError
from tests.support import flavors
from tests.support.ledger import read_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: Columns that differ from run to run.
UNLIKE: Final = ("scored_at",)
_MOMENTS: Final = [
    dt.datetime(2026, 11, 1, 5, 30, tzinfo=dt.UTC),  # 01:30 in New York, an hour that comes twice
    dt.datetime(2026, 11, 1, 6, 30, tzinfo=dt.UTC),
    dt.datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC),
    dt.datetime(1500, 3, 1, 12, tzinfo=dt.UTC),
    dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC),
    None,
]
_HOSTILE: Final = {
    "spark.databricks.delta.optimizeWrite.enabled": "true",
    "spark.databricks.delta.schema.autoMerge.enabled": "true",
    "spark.sql.ansi.enabled": "false",
    "spark.sql.caseSensitive": "true",
    "spark.sql.charAsVarchar": "true",
    "spark.sql.columnNameOfCorruptRecord": "text",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "3",
    "spark.sql.execution.arrow.useLargeVarTypes": "true",
    "spark.sql.files.ignoreCorruptFiles": "true",
    "spark.sql.files.maxPartitionBytes": "3000",
    "spark.sql.legacy.charVarcharAsString": "true",
    "spark.sql.legacy.timeParserPolicy": "LEGACY",
    "spark.sql.parquet.binaryAsString": "true",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "LEGACY",
    "spark.sql.parquet.inferTimestampNTZ.enabled": "false",
    "spark.sql.parquet.int96TimestampConversion": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MILLIS",
    "spark.sql.parquet.writeLegacyFormat": "true",
    "spark.sql.session.timeZone": "America/New_York",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "true",
    "spark.sql.sources.partitionOverwriteMode": "dynamic",
    "spark.sql.storeAssignmentPolicy": "LEGACY",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
}
_ARROW: Final = {"input": {"dtypes": "arrow"}}
_COLUMNS: Final = ["id", "text", "moment", "local", "date", "bytes", "money", "share", "deep"]
_ALL_TYPES: Final = {**_ARROW, "output": {"carry": [*_COLUMNS, "day"]}}
_LENGTHS: Final = "def run(frame): return [len(str(text)) for text in frame['text']]"
_EACH_TYPE: Final = """
    import datetime, decimal
    import pandas
    def run(frame):
        return pandas.DataFrame({
            "again": frame["moment"],
            "whole": pandas.array([None if row % 3 == 0 else 2**62 + row for row in range(len(frame))], "Int64"),
            "ratio": [float("nan"), float("inf"), -0.0, 5e-324, 1.7976931348623157e308, 0.1][: len(frame)],
            "word": ["", None, "Grüße", "a,b", "\\x00", "x "][: len(frame)],
        })
"""
_NOT_ODD: Final = """
    def run(frame):
        if (frame["id"] % 2).any():
            raise ValueError("odd")
        return list(frame["id"] * 10)
"""
_OF_FILES: Final = """
    import os
    def run(files):
        found = [(os.path.getsize(file), open(file, "rb").read(4)) for file in files]
        if any(size == 13 for size, _ in found):
            raise ValueError("13 bytes")
        return [float(size) for size, _ in found]
"""


def make_inputs(folder: Path) -> None:
    """Write the inputs and the models that need no Spark."""
    for number, day in enumerate(("007", "7", "010")):
        _write(_rows().slice(number * 2, 2), folder / "parquet" / f"day={day}" / "part.parquet")
    for number in range(12):
        place = folder / "files" / f"{number:02}.bin"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(bytes([number]) * (number + 3))
    deltalake.write_deltalake(str(folder / "delta"), _rows().slice(0, 4))
    deltalake.write_deltalake(str(folder / "delta"), _rows().slice(4), mode="append")
    csv, jsons = folder / "csv" / "day=007", folder / "json"
    csv.mkdir(parents=True)
    jsons.mkdir()
    (csv / "a.csv").write_text('id,text,at\n1,"a,b",2026-11-01T01:30:00Z\n2,,\n3,"Grüße",1500-03-01T12:00:00Z\n')
    (jsons / "a.json").write_text(
        '{"id": 1, "text": "a", "deep": {"x": [1, 2]}}\n{"id": 2, "text": null}\n'
        '{"id": 9007199254740993, "text": "", "deep": {"x": []}}\n'
    )
    _write(pa.table({"id": list(range(20)), "text": [f"t{n}" for n in range(20)]}), folder / "plain" / "a.parquet")
    features = pa.Table.from_pandas(flavors.make_rows(200).reset_index(drop=True), preserve_index=False)
    _write(features, folder / "features" / "a.parquet")
    floats = {name: features[name].cast(pa.float32()) for name in flavors.FEATURES}
    _write(pa.table(floats), folder / "floats" / "a.parquet")
    flavors.save_onnx(folder / "model.onnx")
    flavors.save_sklearn(folder / "mlflow_model")


def _write(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def _rows() -> pa.Table:
    naive = [None if moment is None else moment.replace(tzinfo=None) for moment in _MOMENTS]
    return pa.table(
        {
            "id": pa.array([1, None, 2**53 + 1, -(2**63), 2**63 - 1, 0], pa.int64()),
            "text": [None, "", "Grüße", "a,b", 'quote"', "x "],
            "moment": pa.array(_MOMENTS, pa.timestamp("us", "UTC")),
            "local": pa.array(naive, pa.timestamp("us")),
            "date": [dt.date(1500, 1, 1), dt.date(1, 1, 1), dt.date(9999, 12, 31), None, None, None],
            "bytes": [b"\x00\xff", b"", None, b"z", b"z", b"z"],
            "money": pa.array([decimal.Decimal("0.10"), None, *[decimal.Decimal(10) ** 28] * 4], pa.decimal128(38, 9)),
            "share": [math.nan, math.inf, -0.0, 5e-324, None, 0.1],
            "deep": [[{"k": "v", "t": moment}] for moment in _MOMENTS],
        }
    )


class Cases:
    """The cases, each a method whose name begins with ``case_``. What they return is compared between the ways."""

    def __init__(self, spark: SparkSession, inputs: Path, own: Path) -> None:
        self._spark, self._inputs, self._own = spark, inputs, own

    def _deployment(self, name: str, script: str, **keys: Any) -> Path:
        folder = self._own / "deployments" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "score.py").write_text(textwrap.dedent(script))
        code = {"code_configuration": {"code": ".", "scoring_script": "score.py"}}
        (folder / "deployment.yml").write_text(json.dumps({**code, "name": name, **keys}))
        return folder / "deployment.yml"

    def _score(self, name: str, of: str, script: str = _LENGTHS, **options: Any) -> sparkscore.Run:
        keys = options.pop("keys", {})
        deployment = None if "model" in options else self._deployment(name, script, **keys)
        given: dict[str, Any] = {"output": str(self._own / name), "run_id": name, **options}
        return sparkscore.score(self._spark, deployment, input=str(self._inputs / of), **given)

    def _told(self, run: sparkscore.Run) -> dict[str, Any]:
        record = run.record
        table = read_table(Path(record["output"]["location"])) if record["state"] == "COMPLETE" else None
        return {
            "state": record["state"],
            "counts": {key: record["counts"][key] for key in ("items", "scored", "failed", "skipped")},
            "table": None if table is None else described(table),
            "frame": described(run.predictions().toArrow()),
            "calls": run.attempts().count(),
        }

    def case_each_type_from_parquet(self) -> Any:
        return self._told(self._score("each_type", "parquet", _EACH_TYPE, keys=_ALL_TYPES))

    def case_each_type_under_hostile_settings(self) -> Any:
        before = {key: self._spark.conf.get(key, None) for key in _HOSTILE}
        for key, value in _HOSTILE.items():
            self._spark.conf.set(key, value)
        try:
            run = self._score("hostile", "parquet", _EACH_TYPE, keys=_ALL_TYPES, partition_by=["day", "moment"])
            kept = {key: self._spark.conf.get(key) for key in _HOSTILE}
        finally:
            for key, was in before.items():
                self._spark.conf.unset(key) if was is None else self._spark.conf.set(key, was)
        told = self._told(run)
        return {"kept": kept == _HOSTILE, "table": told["table"], "frame": told["frame"]}

    def case_delta_to_partitioned_parquet(self) -> Any:
        options: dict[str, Any] = {"output_format": "parquet", "partition_by": ["date"]}
        return self._told(self._score("delta", "delta", keys=_ARROW, **options))

    def case_an_earlier_version_of_delta(self) -> Any:
        return self._told(self._score("version", "delta", keys={"input": {"version": 0, "dtypes": "arrow"}}))

    def case_csv_appended_twice(self) -> Any:
        first = self._told(self._score("csv", "csv", mode="append"))
        return first, self._told(self._score("csv2", "csv", mode="append", output=str(self._own / "csv")))

    def case_json_overwritten(self) -> Any:
        for run_id in ("json1", "json2"):
            run = self._score("json", "json", run_id=run_id, mode="overwrite", output_format="parquet")
        return self._told(run)

    def case_json_over_a_delta_table(self) -> Any:
        for run_id in ("over1", "over2"):
            run = self._score("over", "json", run_id=run_id, mode="overwrite")
        return self._told(run)

    def case_a_table_that_exists(self) -> Any:
        self._score("exists", "plain")
        return self._refusal(lambda: self._score("exists", "plain", run_id="exists2"))

    def case_a_script_that_raises(self) -> Any:
        return self._refusal(lambda: self._score("raises", "plain", _NOT_ODD))

    def case_an_input_that_cannot_be_read(self) -> Any:
        (self._own / "broken").mkdir()
        (self._own / "broken" / "a.parquet").write_bytes(b"PAR1 not a parquet file PAR1")
        return self._refusal(lambda: self._score("cut", str(self._own / "broken")))

    def case_files(self) -> Any:
        keys = {"settings": {"error_threshold": 1, "mini_batch_size": 3}}
        run = self._score("files", "files", _OF_FILES, keys=keys, input_format="files")
        return self._told(run), described(run.quarantine().select("source_file", "error_code").toArrow())

    def case_failed_rows_and_the_same_again(self) -> Any:
        keys = {"settings": {"error_threshold": -1, "mini_batch_size": 4}}
        run = self._score("odd", "plain", _NOT_ODD, keys=keys)
        told, failed = self._told(run), described(run.quarantine().select("row", "error_code").toArrow())
        self._deployment("odd", "def run(frame): return list(frame['id'] * 10)", **keys)
        again = sparkscore.score(self._spark, None, only_failed="odd", run_id="odd_again")
        nothing = sparkscore.score(self._spark, None, only_failed="odd", run_id="odd_nothing")
        return told, failed, self._told(again), nothing.record["counts"]["items"], nothing.predictions().count()

    def case_held_and_published(self) -> Any:
        run = self._score("held", "plain", keys={"publish": "audit"})
        return self._told(run), self._told(sparkscore.publish(self._spark, "held"))

    def case_held_and_dropped(self) -> Any:
        run = self._score("dropped", "plain", keys={"publish": "audit"})
        return self._told(run), sparkscore.discard("dropped", spark=self._spark)["state"]

    def case_resumed(self) -> Any:
        broken = self._own / "broken_marker"
        script = f"""
            import os, time
            def run(frame):
                if os.path.exists({str(broken)!r}) and frame["id"].iloc[0] > 5:
                    raise ValueError("not today")
                return list(frame["id"])
        """
        broken.touch()
        keys = {"settings": {"mini_batch_size": 2}, "chunk_size": 2}
        first = self._refusal(lambda: self._score("resumed", "plain", script, keys=keys))
        broken.unlink()
        again = sparkscore.resume(self._spark, "resumed")
        return first, self._told(again), self._told(sparkscore.resume(self._spark, "resumed"))

    def case_onnx(self) -> Any:
        return self._told(self._score("onnx", "floats", model=str(self._inputs / "model.onnx")))

    def case_mlflow(self) -> Any:
        return self._told(
            self._score("mlflow", "features", model=str(self._inputs / "mlflow_model"), settings={"trust": "code"})
        )

    def case_a_pipeline_of_spark(self) -> Any:
        return self._told(self._score("pipeline", "features", model=str(self._inputs / "spark_model")))

    def _refusal(self, call: Callable[[], object]) -> tuple[str, str]:
        try:
            call()
        except SparkscoreError as error:
            return error.code, error.sentence.replace(str(self._own), "OWN")
        return "", "it was not refused"


def described(table: pa.Table) -> dict[str, Any]:
    """Return the columns, types and cells of a table, in the order of all of its cells."""
    table = table.drop_columns([name for name in UNLIKE if name in table.column_names])
    table = table.select(sorted(table.column_names))
    rows = sorted(repr([_cell(value) for value in row.values()]) for row in table.to_pylist())
    return {"columns": {field.name: _type(field.type) for field in table.schema}, "rows": rows}


def _cell(value: object) -> object:
    return float(value).hex() if isinstance(value, (float, np.floating)) else value


def _type(column: pa.DataType) -> str:
    return str(column).replace("large_", "")


def main(way: str, folder: Path, names: list[str]) -> None:
    """Run the cases with these names, or all, and write what they return into a file."""
    own = folder / ("classic" if way == "classic" else "connect")
    own.mkdir()
    if way == "classic":
        spark = sparkscore.local_session(master="local[2,4]", conf={"spark.sql.shuffle.partitions": "2"})
        flavors.save_spark_pipeline(spark, folder / "inputs" / "spark_model")
    else:
        from pyspark.sql import SparkSession

        spark = SparkSession.builder.remote(way).getOrCreate()
    cases = Cases(spark, folder / "inputs", own)
    found = {}
    for name in names or sorted(name for name in dir(cases) if name.startswith("case_")):
        try:
            found[name] = json.loads(json.dumps(getattr(cases, name)(), default=str).replace(str(own), "OWN"))
        except Exception as error:  # noqa: BLE001 - the other cases are compared as well
            found[name] = f"{way}: {type(error).__name__}: {error}"
            sys.stderr.write(f"{name}: {type(error).__name__}: {error}\n")
    (folder / f"{own.name}.json").write_text(json.dumps(found))
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
