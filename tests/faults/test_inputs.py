"""Faults of the input, with the numbers of the catalogue in docs/reliability.md."""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sparkscore
from sparkscore import SparkscoreError
from sparkscore.config import Input
from sparkscore.plan import plan_run
from sparkscore.sources.file_list import FileListSource
from sparkscore.spark.jobs import score_plan
from tests.support.ledger import check_ledger, read_table
from tests.support.settings import refused

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.faults
MakeDeployment = Callable[..., Path]
IDS = "def run(frame): return frame['id'].tolist()"
LENGTHS = "from pathlib import Path\ndef run(files): return [len(Path(file).read_bytes()) for file in files]"
TOLERANT: dict[str, Any] = {"error_threshold": -1, "retry_settings": {"max_retries": 0}}


@pytest.mark.parametrize("kind", ["csv", "parquet", "delta", "files"])
def test_46_an_input_of_nothing_replaces_no_table(
    kind: str, spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    pq.write_table(pa.table({"id": range(5)}), tmp_path / "five.parquet")
    first = sparkscore.score(
        spark, make_deployment(IDS, "first"), input=tmp_path / "five.parquet", output=tmp_path / "out"
    )
    (tmp_path / "in").mkdir()
    if kind == "csv":
        (tmp_path / "in" / "rows.csv").write_text("id\n")
    elif kind == "parquet":
        pq.write_table(pa.table({"id": pa.array([], pa.int64())}), tmp_path / "in" / "rows.parquet")
    elif kind == "delta":
        spark.range(5).where("id < 0").write.format("delta").save(str(tmp_path / "in"))

    with pytest.raises(SparkscoreError) as caught:
        sparkscore.score(
            spark,
            make_deployment(IDS, "second"),
            input=tmp_path / "in",
            input_format=kind,
            output=tmp_path / "out",
            mode="overwrite",
        )

    assert (caught.value.code, caught.value.exit_code) == ("INPUT_EMPTY", 2)
    check_ledger(first.record, tmp_path / "runs", range(5))
    assert read_table(tmp_path / "out").num_rows == 5


@pytest.mark.parametrize("name", ["_rows.csv", ".rows.parquet", "_rows.json"])
def test_49_a_hidden_file_that_is_named_is_told_and_not_passed_over(
    name: str, spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    (tmp_path / name).write_text("id\n1\n")

    error = refused(
        spark, make_deployment(IDS), tmp_path / "out", input=tmp_path / name, input_format=Path(name).suffix[1:]
    )

    assert error.code == "INPUT_EMPTY"
    assert "hidden" in str(error)


NAMES = [
    "a:b.txt", "brack[1].txt", "{a,b}.txt", "a\\b.txt", "st*r.txt", "star.txt", "qu?.txt", "qua.txt",
    " space at both ends ", "100%20.txt", "%2F", "#+&=.txt", "'\"`$(x);", "comma, new\nline\ttab", "~", "-rf",
    unicodedata.normalize("NFC", "é.txt"), unicodedata.normalize("NFD", "é.txt"), "\U0001f600", "\u2028",
    "day=007", "x" * 255, "ä" * 127,
]  # fmt: skip


@pytest.mark.parametrize("output_format", ["delta", "parquet"])
def test_50_to_52_any_name_that_a_file_can_have_arrives_as_it_is(
    output_format: str, spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    paths = {str(tmp_path / "in" / name): number for number, name in enumerate(NAMES)}
    (tmp_path / "in").mkdir()
    for path, number in paths.items():
        Path(path).write_bytes(b"x" * number)
    deployment = make_deployment(LENGTHS, settings=TOLERANT | {"mini_batch_size": 3}, output={"format": output_format})

    # Each by its own name, which is a pattern for others.
    run = sparkscore.score(spark, deployment, input=list(paths), input_format="files", output=tmp_path / "out")

    check_ledger(run.record, tmp_path / "runs", paths, key=None)
    assert run.record["counts"]["failed"] == 0
    assert {row["source_file"]: row["prediction"] for row in read_table(tmp_path / "out").to_pylist()} == paths


def test_51_and_52_parquet_files_of_odd_names_are_read_and_named(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    names = [name for name in NAMES if ":" not in name and len(name.encode()) < 240]
    (tmp_path / "in").mkdir()
    for number, name in enumerate(names):
        pq.write_table(pa.table({"id": [number]}), tmp_path / "in" / f"{name}.parquet")
    paths = [str(tmp_path / "in" / f"{name}.parquet") for name in names]

    run = sparkscore.score(spark, make_deployment(IDS), input=paths, output=tmp_path / "out")

    check_ledger(run.record, tmp_path / "runs", range(len(names)))
    rows = read_table(tmp_path / "out").to_pylist()
    assert {row["id"]: row["source_file"] for row in rows} == dict(enumerate(paths))


CHANGES = {53: "os.unlink({file!r})", 54: "open({file!r}, 'a').write('more')"}


@pytest.mark.parametrize("number", CHANGES)
def test_53_and_54_a_file_that_goes_or_changes_during_the_run_stops_it(
    number: int, spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    (tmp_path / "in").mkdir()
    for name in "abcdef":
        (tmp_path / "in" / name).write_text(name)
    change = CHANGES[number].format(file=str(tmp_path / "in" / "d"))
    script = f"""
    import os

    def run(files):
        if files[0].endswith("a"):
            try:
                {change}
            except FileNotFoundError:
                pass
        return [open(file).read() for file in files]
    """
    deployment = make_deployment(script, settings=TOLERANT | {"mini_batch_size": 2})

    error = refused(spark, deployment, tmp_path / "out", input=tmp_path / "in", input_format="files")

    assert error.code == "INPUT_CHANGED"
    assert str(tmp_path / "in" / "d") in str(error)


def test_61_a_file_of_more_than_two_gigabytes_travels_by_its_path(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    (tmp_path / "in").mkdir()
    with (tmp_path / "in" / "huge").open("wb") as file:
        file.truncate(2_100_000_000)
    (tmp_path / "in" / "small").write_text("x")
    deployment = make_deployment("import os\ndef run(files): return [os.path.getsize(file) for file in files]")

    run = sparkscore.score(spark, deployment, input=tmp_path / "in", input_format="files", output=tmp_path / "out")

    check_ledger(run.record, tmp_path / "runs", [str(path) for path in (tmp_path / "in").iterdir()], key=None)
    assert run.record["input"]["bytes"] == 2_100_000_001


def test_62_a_hundred_thousand_files_are_planned_within_a_minute(tmp_path: Path) -> None:
    for folder in range(100):
        (tmp_path / "in" / str(folder)).mkdir(parents=True)
        for number in range(1000):
            os.close(os.open(tmp_path / "in" / str(folder) / str(number), os.O_CREAT))
    start = time.monotonic()

    snapshot = FileListSource(None, Input(location=(str(tmp_path / "in"),))).snapshot  # type: ignore[arg-type]
    plan = plan_run(snapshot, 10, task_slots=8)

    assert plan.mini_batches is not None
    assert plan.mini_batches.num_rows == snapshot.items == 100_000
    assert time.monotonic() - start < 60


def test_64_rows_that_are_added_during_the_run_are_not_in_it(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    spark.range(20).write.format("delta").save(str(tmp_path / "in"))

    def append_and_score(*arguments: Any) -> Any:
        spark.range(20, 30).write.format("delta").mode("append").save(str(tmp_path / "in"))
        spark.range(5).write.format("delta").mode("overwrite").save(str(tmp_path / "in"))
        return score_plan(*arguments)

    monkeypatch.setattr("sparkscore.run.steps.score_plan", append_and_score)
    run = sparkscore.score(spark, make_deployment(IDS), input=tmp_path / "in", output=tmp_path / "out")

    check_ledger(run.record, tmp_path / "runs", range(20))
    assert run.record["input"]["version"] == 0


def test_65_rows_that_are_there_twice_are_scored_twice_and_fail_twice(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        pq.write_table(pa.table({"id": [*range(10), 7]}), tmp_path / "in" / f"{name}.parquet")
    script = "def run(frame):\n    assert not (frame['id'] == 7).any()\n    return frame['id'].tolist()"
    deployment = make_deployment(script, settings=TOLERANT, output={"schema": "prediction bigint", "carry": ["id"]})

    run = sparkscore.score(
        spark, deployment, input=[tmp_path / "in", tmp_path / "in" / "a.parquet"], output=tmp_path / "out"
    )

    check_ledger(run.record, tmp_path / "runs", [*range(10), 7] * 2)
    assert (run.record["counts"]["failed"], run.record["input"]["skipped"]) == (4, {"named more than once": 1})
    places = [(row["mini_batch"], row["position"]) for row in read_table(tmp_path / "out_quarantine").to_pylist()]
    assert len(set(places)) == 4


@pytest.mark.parametrize("kind", ["files", "parquet"])
def test_67_a_file_that_may_not_be_read_is_quarantined_or_named(
    kind: str, spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(4):
        pq.write_table(pa.table({"id": [number]}), tmp_path / "in" / f"{number}.parquet")
    (tmp_path / "in" / "2.parquet").chmod(0)
    if os.access(tmp_path / "in" / "2.parquet", os.R_OK):
        pytest.skip("this user may read every file")

    if kind == "parquet":
        error = refused(spark, make_deployment(IDS, settings=TOLERANT), tmp_path / "out", input=tmp_path / "in")
        assert error.code == "INPUT_UNREADABLE"
        return
    deployment = make_deployment(LENGTHS, settings=TOLERANT)
    run = sparkscore.score(spark, deployment, input=tmp_path / "in", input_format="files", output=tmp_path / "out")
    check_ledger(run.record, tmp_path / "runs", [str(path) for path in (tmp_path / "in").iterdir()], key=None)
    assert run.record["counts"]["failed"] == 1
