"""Faults between the last mini-batch and the published result, with the numbers in docs/reliability.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake.exceptions import CommitFailedError
from py4j.protocol import Py4JError
from pyspark.sql import DataFrameWriter

import sparkscore
from sparkscore import SparkscoreError
from sparkscore.run.quarantine import publish_quarantine
from sparkscore.run.verdict import decide
from sparkscore.sinks.delta_commit import Commit
from tests.support.ledger import check_ledger, read_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.faults
MakeDeployment = Callable[..., Path]
FORMATS = pytest.mark.parametrize("output_format", ["delta", "parquet"])
# Each call leaves a file, so that calls can be counted. `fails` is a condition over the file's number.
FILES = """
import secrets, uuid
from pathlib import Path

def run(files):
    for file in files:
        (Path({calls!r}) / f"{{Path(file).name}}.{{uuid.uuid4().hex}}").touch()
        number = int(Path(file).stem)
        assert not ({fails}), "a bad file"
    return [{element} for file in files]
"""


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    pq.write_table(pa.table({"id": range(100)}), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


class FileRig:
    """Twenty files, a script that counts its calls, and a request that can be made again."""

    def __init__(self, folder: Path, make_deployment: MakeDeployment, output_format: str) -> None:
        self.input, self.calls, self.runs, self.output = (folder / n for n in ("in", "calls", "runs", "out"))
        self.input.mkdir()
        self.calls.mkdir()
        for number in range(20):
            (self.input / f"{number:02}.txt").write_text("x")
        self._make, self._format = make_deployment, output_format

    def deployment(self, fails: str = "False", element: str = "len(Path(file).name)") -> Path:
        return self._make(
            FILES.format(calls=str(self.calls), fails=fails, element=element),
            settings={"mini_batch_size": 1, "error_threshold": -1, "retry_settings": {"max_retries": 0}},
            output={"format": self._format, "schema": "prediction string" if "hex" in element else "prediction bigint"},
        )

    def options(self, **more: Any) -> dict[str, Any]:
        return {"input": self.input, "input_format": "files", "output": self.output, "run_id": "night", **more}

    def check(self, record: dict[str, Any]) -> None:
        check_ledger(record, self.runs, [str(path) for path in self.input.iterdir()], key=None)

    def call_count(self) -> int:
        return len(list(self.calls.iterdir()))


@pytest.fixture
def make_rig(tmp_path: Path, make_deployment: MakeDeployment) -> Callable[[str], FileRig]:
    return lambda output_format: FileRig(tmp_path, make_deployment, output_format)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    if (ended := subprocess.run(command, capture_output=True, text=True, check=False)).returncode:
        pytest.skip(f"no file system can be mounted here: {ended.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True, capture_output=True)


def test_82_a_full_disk_while_scoring_fails_the_run_which_succeeds_when_there_is_room(
    spark: SparkSession, small_disk: Path, make_rig: Callable[[str], FileRig]
) -> None:
    rig = make_rig("delta")
    rig.output = small_disk / "out"
    (small_disk / "ballast").write_bytes(b"x" * 7_500_000)
    deployment = rig.deployment(element="secrets.token_hex(300_000)")

    with pytest.raises(SparkscoreError) as caught:
        sparkscore.score(spark, deployment, **rig.options())

    assert caught.value.code == "STAGE_NO_SPACE"
    assert not list(rig.output.glob("_delta_log/*.json"))
    (small_disk / "ballast").unlink()
    remount(small_disk, "size=200m")
    run = sparkscore.score(spark, deployment, **rig.options())
    rig.check(run.record)


@FORMATS
def test_83_a_disk_that_is_full_when_the_run_publishes_leaves_the_table_as_it_was(
    output_format: str, spark: SparkSession, small_disk: Path, make_rig: Callable[[str], FileRig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    rig = make_rig(output_format)
    rig.output = small_disk / "out"
    deployment = rig.deployment()

    def fill_the_disk(*arguments: Any) -> None:
        decide(*arguments)
        fill(small_disk / "ballast")

    with monkeypatch.context() as patched:
        patched.setattr("sparkscore.run.pipeline.decide", fill_the_disk)
        if output_format == "parquet":
            # Renaming takes no space.
            rig.check(sparkscore.score(spark, deployment, **rig.options()).record)
            return
        with pytest.raises(SparkscoreError) as caught:
            sparkscore.score(spark, deployment, **rig.options())
    assert caught.value.code == "PUBLISH_FAILED"
    assert not list(rig.output.glob("_delta_log/*.json"))

    (small_disk / "ballast").unlink()
    calls = rig.call_count()
    run = sparkscore.score(spark, deployment, **rig.options())

    rig.check(run.record)
    assert rig.call_count() == calls, "what was scored was scored again"


def fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass


@FORMATS
def test_84_an_output_that_became_read_only_can_be_published_later(
    output_format: str, spark: SparkSession, small_disk: Path, make_rig: Callable[[str], FileRig], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    rig = make_rig(output_format)
    rig.output = small_disk / "out"
    stage = {} if output_format == "parquet" else {"settings": {"output.stage": str(tmp_path / "stage")}}
    deployment = rig.deployment(fails="number == 7")

    def lock_the_disk(*arguments: Any) -> None:
        decide(*arguments)
        remount(small_disk, "ro")

    with monkeypatch.context() as patched:
        patched.setattr("sparkscore.run.pipeline.decide", lock_the_disk)
        with pytest.raises(SparkscoreError) as caught:
            sparkscore.score(spark, deployment, **rig.options(**stage))
    remount(small_disk, "rw")
    assert caught.value.code == "PUBLISH_FAILED"
    assert not list(rig.output.glob("_delta_log/*.json")) + list(rig.output.glob("run_id=*"))

    calls = rig.call_count()
    run = sparkscore.score(spark, deployment, **rig.options(**stage))

    rig.check(run.record)
    assert rig.call_count() == calls, "what was scored was scored again"


@FORMATS
def test_84_a_result_that_could_not_be_put_in_place_is_not_scored_again(
    output_format: str, spark: SparkSession, make_rig: Callable[[str], FileRig], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(output_format)
    deployment = rig.deployment()
    save, rename, write = DataFrameWriter.save, Path.rename, Commit._write

    def refuse_to_save(self: Any, path: str) -> None:
        if path == str(rig.output):
            raise Py4JError("permission denied")
        save(self, path)

    def refuse_to_rename(self: Path, target: Path) -> Path:
        if target.parent == rig.output:
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    def refuse_to_commit(commit: Commit, *arguments: Any) -> None:
        if commit.target.path == rig.output:
            raise PermissionError(13, "Permission denied")
        write(commit, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Commit, "_write", refuse_to_commit)
        patched.setattr(DataFrameWriter, "save", refuse_to_save)
        patched.setattr(Path, "rename", refuse_to_rename)
        with pytest.raises(SparkscoreError, match="PUBLISH_FAILED"):
            sparkscore.score(spark, deployment, **rig.options())
    calls = rig.call_count()
    run = sparkscore.score(spark, deployment, **rig.options())

    rig.check(run.record)
    assert rig.call_count() == calls, "what was scored was scored again"


@pytest.mark.parametrize(("output_format", "writer"), [("delta", "auto"), ("delta", "spark"), ("parquet", "auto")])
def test_92_a_commit_that_landed_without_an_answer_is_not_made_again(
    output_format: str, writer: str, spark: SparkSession, make_rig: Callable[[str], FileRig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    rig = make_rig(output_format)
    deployment = rig.deployment(fails="number == 7")
    options = rig.options(settings={"output.writer": writer})

    with monkeypatch.context() as patched:
        lose_the_answer(patched, rig.output, output_format)
        run = sparkscore.score(spark, deployment, **options)
    rig.check(run.record)
    calls = rig.call_count()
    again = sparkscore.score(spark, deployment, **options)

    assert again.record == run.record
    assert rig.call_count() == calls, "what is in the table was scored again"
    assert read_table(rig.output).num_rows == 19


def lose_the_answer(patched: pytest.MonkeyPatch, output: Path, output_format: str) -> None:
    save, rename, write = DataFrameWriter.save, Path.rename, Commit._write

    def save_and_lose(self: Any, path: str) -> None:
        save(self, path)
        if path == str(output):
            raise Py4JError("the answer was lost")

    def rename_and_lose(self: Path, target: Path) -> Path:
        renamed = rename(self, target)
        if target.parent == output:
            raise OSError(110, "Connection timed out")
        return renamed

    def write_and_lose(commit: Commit, *arguments: Any) -> None:
        write(commit, *arguments)
        if commit.target.path == output:
            raise CommitFailedError("the answer was lost")

    if output_format == "delta":
        patched.setattr(Commit, "_write", write_and_lose)
        patched.setattr(DataFrameWriter, "save", save_and_lose)
    else:
        patched.setattr(Path, "rename", rename_and_lose)


@FORMATS
def test_94_a_crash_between_quarantine_and_predictions_is_made_good(
    output_format: str, spark: SparkSession, make_rig: Callable[[str], FileRig], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(output_format)
    deployment = rig.deployment(fails="number in {3, 7}")

    with monkeypatch.context() as patched:
        patched.setattr("sparkscore.run.publishing.publish_quarantine", publish_and_crash)
        with pytest.raises(KeyboardInterrupt):
            sparkscore.score(spark, deployment, **rig.options())
    assert not list(rig.output.glob("_delta_log/*.json")) + list(rig.output.glob("run_id=*"))
    run = sparkscore.score(spark, deployment, **rig.options())

    rig.check(run.record)
    assert read_table(rig.output.with_name("out_quarantine")).num_rows == 2


@pytest.mark.parametrize("later", ["{5}", "set()", "{5, 6}"], ids=["another fails", "none fails", "more fail"])
def test_94_rows_that_fail_otherwise_after_the_crash_are_nowhere_twice_and_nowhere_lost(
    later: str,
    spark: SparkSession,
    tmp_path: Path,
    rows: Path,
    make_deployment: MakeDeployment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flag = tmp_path / "later"
    script = f"""
    from pathlib import Path

    def run(frame):
        bad = {later} if Path({str(flag)!r}).exists() else {{3}}
        assert not frame["id"].isin(bad).any()
        return frame["id"].tolist()
    """
    deployment = make_deployment(
        script, settings={"error_threshold": -1}, output={"schema": "prediction bigint", "carry": ["id"]}
    )
    options: dict[str, Any] = {"input": rows, "output": tmp_path / "out", "run_id": "night"}

    with monkeypatch.context() as patched:
        patched.setattr("sparkscore.run.publishing.publish_quarantine", publish_and_crash)
        with pytest.raises(KeyboardInterrupt):
            sparkscore.score(spark, deployment, **options)
    flag.touch()
    try:
        run = sparkscore.score(spark, deployment, **options)
    except SparkscoreError as error:
        assert error.code == "QUARANTINE_DIFFERS"  # noqa: PT017 - to be told is as good as to be right
        assert not (tmp_path / "out").exists()
        return

    check_ledger(run.record, tmp_path / "runs", range(100))
    kept = {json.loads(row["row"])["id"] for row in read_table(tmp_path / "out_quarantine").to_pylist()}
    scored = {row["id"] for row in read_table(tmp_path / "out").to_pylist()}
    assert not kept & scored


def publish_and_crash(*arguments: Any, **named: Any) -> None:
    publish_quarantine(*arguments, **named)
    raise KeyboardInterrupt
