"""What is staged is replaced, cut or changed before it is published: nothing of it becomes visible."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sparkscore
from sparkscore.run import discard
from sparkscore.stage.local_store import LocalStore
from tests.support.ledger import check_ledger, read_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeDeployment = Callable[..., Path]
SCRIPT = """
def run(frame):
    if (frame["id"] == 7).any():
        raise ValueError("a bad row")
    return (frame["id"] * 2).tolist()
"""


@pytest.fixture
def hold(tmp_path: Path, spark: SparkSession, make_deployment: MakeDeployment) -> Callable[..., sparkscore.Run]:
    pq.write_table(pa.table({"id": range(100)}), tmp_path / "rows.parquet")
    settings = {"error_threshold": 1, "mini_batch_size": 20, "retry_settings": {"max_retries": 0}}
    deployment = make_deployment(SCRIPT, publish="audit", settings=settings, isolation="none")
    options: dict[str, Any] = {"input": tmp_path / "rows.parquet", "output": tmp_path / "out", "run_id": "night"}
    return lambda **more: sparkscore.score(spark, deployment, **options, **more)


def all_minus_one(path: Path) -> None:
    table = pq.read_table(path, partitioning=None)
    name = "prediction" if "prediction" in table.column_names else "message"
    value = pa.array([-1] * table.num_rows, pa.int64()) if name == "prediction" else pa.array(["x"] * table.num_rows)
    pq.write_table(table.set_column(table.column_names.index(name), name, value), path)


def one_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x40
    path.write_bytes(content)


@pytest.mark.parametrize("output_format", ["delta", "parquet"])
@pytest.mark.parametrize(
    ("kind", "change"), [("attempts", all_minus_one), ("quarantine", all_minus_one), ("attempts", Path.unlink)]
)
def test_a_held_run_whose_staged_file_was_replaced_is_not_published_and_can_be_taken_up(
    hold: Callable[..., sparkscore.Run],
    spark: SparkSession,
    tmp_path: Path,
    kind: str,
    change: Callable[[Path], None],
    output_format: str,
) -> None:
    held = hold(output_format=output_format)
    stage = Path(held.record["stage"])
    victim = next((stage / kind).rglob("*.parquet"))
    change(victim)

    with pytest.raises(sparkscore.SparkscoreError, match=r"\[STAGED_FILE_CHANGED\]") as caught:
        sparkscore.publish(spark, "night")

    assert str(victim) in str(caught.value)
    assert not (tmp_path / "out_quarantine").exists()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["_sparkscore"]
    again = hold(output_format=output_format)
    assert again.record["state"] == "HELD"
    run = sparkscore.publish(spark, "night")
    check_ledger(run.record, tmp_path / "runs", range(100))
    table = read_table(tmp_path / "out")
    assert table["prediction"].to_pylist() == [number * 2 for number in table["id"].to_pylist()]


def test_a_held_run_that_was_left_alone_is_published(
    hold: Callable[..., sparkscore.Run], spark: SparkSession, tmp_path: Path
) -> None:
    hold()
    check_ledger(sparkscore.publish(spark, "night").record, tmp_path / "runs", range(100))


def test_a_manifest_that_was_changed_is_named_and_the_run_can_be_dropped(
    hold: Callable[..., sparkscore.Run], spark: SparkSession, tmp_path: Path
) -> None:
    hold()
    manifest = tmp_path / "runs" / "night" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["files"] = content["files"][:-1]
    manifest.write_text(json.dumps(content))

    with pytest.raises(sparkscore.SparkscoreError, match=r"\[MANIFEST_CHANGED\]"):
        sparkscore.publish(spark, "night")
    with pytest.raises(sparkscore.SparkscoreError, match=r"\[MANIFEST_CHANGED\]"):
        hold()

    assert discard("night")["state"] == "ABORT"
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_resumed_run_publishes_no_file_that_was_changed_since_it_was_scored(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pa.table({"id": range(40)}), tmp_path / "rows.parquet")
    deployment = make_deployment("def run(frame): return (frame['id'] * 2).tolist()")
    options: dict[str, Any] = {
        "input": tmp_path / "rows.parquet", "output": tmp_path / "out", "output_format": "parquet", "run_id": "night",
        "settings": {"settings.mini_batch_size": 10},
    }  # fmt: skip

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(LocalStore, "link", full)
        with pytest.raises(sparkscore.SparkscoreError, match="PUBLISH_FAILED"):
            sparkscore.score(spark, deployment, **options)
    victim = next((tmp_path / "out" / "_sparkscore" / "night" / "attempts").rglob("*.parquet"))
    size = victim.stat().st_size
    one_byte(victim)
    assert victim.stat().st_size == size

    with pytest.raises(sparkscore.SparkscoreError, match="STAGED_FILE_CHANGED") as caught:
        sparkscore.score(spark, deployment, **options)
    assert str(victim) in str(caught.value)
    assert not (tmp_path / "out" / "run_id=night").exists()

    run = sparkscore.score(spark, deployment, **options)

    check_ledger(run.record, tmp_path / "runs", range(40))
    table = read_table(tmp_path / "out")
    assert table["prediction"].to_pylist() == [number * 2 for number in table["id"].to_pylist()]


@pytest.mark.parametrize(
    ("name", "expected"), [("plan.parquet", "STAGE_CHANGED"), ("probe", "STAGE_CHANGED"), ("done/*", None)]
)
def test_notes_of_a_stage_that_were_changed_are_named(  # noqa: PLR0917
    spark: SparkSession,
    tmp_path: Path,
    make_deployment: MakeDeployment,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    expected: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(4):
        (tmp_path / "in" / f"{number}.txt").write_text("x" * number)
    deployment = make_deployment("def run(files): return [len(open(file).read()) for file in files]")
    options: dict[str, Any] = {
        "input": tmp_path / "in", "input_format": "files", "output": tmp_path / "out", "output_format": "parquet",
        "run_id": "night", "settings": {"settings.mini_batch_size": 2},
    }  # fmt: skip

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(LocalStore, "link", full)
        with pytest.raises(sparkscore.SparkscoreError, match="PUBLISH_FAILED"):
            sparkscore.score(spark, deployment, **options)
    stage = tmp_path / "out" / "_sparkscore" / "night"
    victim = min(stage.glob(name))
    if name == "plan.parquet":
        pq.write_table(pq.read_table(victim).slice(1), victim)
    else:
        one_byte(victim)

    if expected is not None:
        with pytest.raises(sparkscore.SparkscoreError, match=expected) as caught:
            sparkscore.score(spark, deployment, **options)
        assert str(victim) in str(caught.value)
        return
    run = sparkscore.score(spark, deployment, **options)
    assert str(victim) in caplog.text + str(run.record["warnings"])
    assert sorted(read_table(tmp_path / "out")["prediction"].to_pylist()) == [0, 1, 2, 3]
