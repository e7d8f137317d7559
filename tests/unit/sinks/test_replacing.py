from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from pyspark.sql.types import LongType, StructField, StructType

from sparkscore.errors import SinkConflictError, SinkError
from sparkscore.run.clean import clean
from sparkscore.sinks import StagedResult, Target
from sparkscore.sinks.parquet import ParquetSink
from sparkscore.sinks.replacing import recover
from sparkscore.sinks.stage import staged_in
from sparkscore.stage import StagedFile
from sparkscore.stage.local_store import LocalStore
from sparkscore.stage.lock import RunLock
from sparkscore.stage.writer import StageWriter

SCHEMA = StructType([StructField("x", LongType()), StructField("run_id", LongType())])


class Killed(BaseException):
    """A driver that was killed: it does nothing more."""


def sink_of(target: Path, run_id: str, *, mode: str = "overwrite", consents: bool = False) -> ParquetSink:
    place = Target(target, mode, (), run_id, "run_id", replaces_foreign=consents)
    return ParquetSink(None, place)  # type: ignore[arg-type]


def publish(sink: ParquetSink, values: list[int], place: Path | None = None) -> Any:
    sink.check_target()
    with staged_in(sink.target, None if place is None else str(place), "id", is_moved=True) as stage:
        writer = StageWriter(str(stage.path), 0, left_out=("run_id",))
        writer.write(pa.table({"x": values, "run_id": pa.nulls(len(values), pa.int64())}))
        return sink.publish(StagedResult(stage, writer.finish(), SCHEMA, {}))


def rows(target: Path) -> list[int]:
    return sorted(
        pyarrow.dataset.dataset(target, partitioning="hive", exclude_invalid_files=True)
        .to_table()
        .column("x")
        .to_pylist()
    )


def write(path: Path, text: str = "the user's") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def foreign_table(target: Path) -> Path:
    folder = target / "month=01"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"x": [-1]}), folder / "part-0.parquet")
    write(folder / "notes.csv")
    write(folder / "model.pkl")
    return folder


def test_the_listed_files_of_earlier_runs_go_and_what_lies_beside_them_is_kept_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(sink_of(tmp_path / "out", "one"), [1, 2])
    write(tmp_path / "out" / "run_id=one" / "notes.txt")

    published = publish(sink_of(tmp_path / "out", "two"), [3])

    aside = tmp_path / "out" / "_replaced_by_two"
    assert rows(tmp_path / "out") == [3]
    assert [path.name for path in aside.rglob("*") if path.is_file()] == ["notes.txt"]
    assert published.moved_to == str(aside)
    assert "_replaced_by_two" in caplog.text


def test_earlier_runs_are_replaced_without_consent_again_and_again(tmp_path: Path) -> None:
    for number in range(3):
        published = publish(sink_of(tmp_path / "out", f"r{number}"), [number])

    assert rows(tmp_path / "out") == [2]
    assert published.moved_to is None
    assert os.listdir(tmp_path / "out") == ["run_id=r2"]  # noqa: PTH208 - names alone


def test_a_table_that_others_wrote_is_refused_before_scoring_and_stays(tmp_path: Path) -> None:
    folder = foreign_table(tmp_path / "out")

    with pytest.raises(SinkConflictError, match=r"\[OUTPUT_FOREIGN_FILES\].*output\.replace: foreign"):
        sink_of(tmp_path / "out", "two").check_target()

    assert len(list(folder.iterdir())) == 3


def test_a_run_without_a_list_is_refused_like_a_table_of_others(tmp_path: Path) -> None:
    publish(sink_of(tmp_path / "out", "old"), [1])
    (tmp_path / "out" / "run_id=old" / "_sparkscore.json").unlink()

    with pytest.raises(SinkConflictError, match=r"output\.replace: foreign"):
        sink_of(tmp_path / "out", "new").check_target()


def test_with_consent_a_table_of_others_is_moved_aside_whole(tmp_path: Path) -> None:
    foreign_table(tmp_path / "out")
    publish(sink_of(tmp_path / "out", "one", consents=True), [1])

    aside = tmp_path / "out" / "_replaced_by_one" / "month=01"
    assert rows(tmp_path / "out") == [1]
    assert sorted(path.name for path in aside.iterdir()) == ["model.pkl", "notes.csv", "part-0.parquet"]
    publish(sink_of(tmp_path / "out", "two"), [2])
    assert rows(tmp_path / "out") == [2]
    assert len(list(aside.iterdir())) == 3


def test_code_and_models_are_refused_with_consent_too(tmp_path: Path) -> None:
    kept = write(tmp_path / "out" / "score.py")

    with pytest.raises(SinkConflictError, match="move those files away"):
        sink_of(tmp_path / "out", "one", consents=True).check_target()
    assert kept.exists()


def test_a_file_of_a_run_that_was_replaced_by_the_user_is_kept(tmp_path: Path) -> None:
    publish(sink_of(tmp_path / "out", "one"), [1])
    (file,) = (tmp_path / "out").rglob("*.parquet")
    write(file, "another content")

    publish(sink_of(tmp_path / "out", "two"), [2])

    assert (tmp_path / "out" / "_replaced_by_two" / "run_id=one" / file.name).read_text() == "another content"


@pytest.mark.parametrize("kill_at", range(7))
@pytest.mark.parametrize("then", ["clean", "new run", "same run"])
def test_a_driver_that_is_killed_while_it_replaces_loses_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int, then: str
) -> None:
    out, stage = tmp_path / "out", tmp_path / "scratch"
    publish(sink_of(out, "one"), [1, 2])
    write(out / "run_id=one" / "notes.txt")
    _killed_at(kill_at, monkeypatch, lambda: publish(sink_of(out, "two"), [3], stage))
    was_shown = (out / "run_id=two").exists()

    if then == "clean":
        clean([out], runs=tmp_path / "runs")
        assert rows(out) == ([3] if was_shown else [1, 2])
    elif then == "new run":
        publish(sink_of(out, "three"), [4], stage)
        assert rows(out) == [4]
    elif sink_of(out, "two").landed(SCHEMA) is None:
        publish(sink_of(out, "two"), [3], stage)
        assert rows(out) == [3]
    else:
        assert rows(out) == [3]
    assert [path.read_text() for path in out.rglob("notes.txt")] == ["the user's"]
    assert not list(out.rglob("_journal.json"))


def _killed_at(call: int, monkeypatch: pytest.MonkeyPatch, work: Any) -> None:
    """Do the work until a call that changes the output, and nothing after that."""
    calls, is_dead = 0, False

    def wrap(real: Any) -> Any:
        def wrapped(path: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal calls, is_dead
            if is_dead:
                raise Killed
            if "/out/" in f"{path} {args}" and ".lock" not in str(path):
                calls += 1
                is_dead = calls > call
            if is_dead:
                raise Killed
            return real(path, *args, **kwargs)

        return wrapped

    with monkeypatch.context() as patch:
        for name in ("rename", "replace", "unlink", "rmdir"):
            patch.setattr(os, name, wrap(getattr(os, name)))
        try:
            work()
        except Killed:
            return


def test_rows_that_a_living_run_is_replacing_are_left_to_it(tmp_path: Path) -> None:
    publish(sink_of(tmp_path / "out", "one"), [1])
    aside = tmp_path / "out" / "_replaced_by_two"
    write(aside / "_journal.json", f'{{"shown": "run_id=two", "lock": "{tmp_path}/two.lock"}}')
    (tmp_path / "out" / "run_id=one").rename(aside / "run_id=one")

    with RunLock(tmp_path / "two.lock", "two"):
        assert recover(tmp_path / "out") == []
        with pytest.raises(SinkConflictError, match="OUTPUT_BUSY"):
            publish(sink_of(tmp_path / "out", "three"), [3])
    assert recover(tmp_path / "out", is_dry=True) == [aside]
    assert recover(tmp_path / "out") == [aside]
    assert rows(tmp_path / "out") == [1]


@pytest.mark.parametrize(
    "journal",
    [
        "{}",
        "[]",
        '{"shown": 5, "lock": "x"}',
        '{"shown": "run_id=other", "lock": "x"}',
        '{"shown": "..", "lock": "x"}',
        '{"shown": "run_id=mine/../..", "lock": "x"}',
    ],
)
def test_a_folder_of_the_users_that_is_called_like_ours_is_left_alone(tmp_path: Path, journal: str) -> None:
    aside = write(tmp_path / "out" / "_replaced_by_mine" / "data.csv").parent
    write(aside / "_journal.json", journal)
    (tmp_path / "out" / "_replaced_by_link").symlink_to(aside)

    assert recover(tmp_path / "out") == []
    publish(sink_of(tmp_path / "out", "one"), [1])

    assert sorted(path.name for path in aside.iterdir()) == ["_journal.json", "data.csv"]
    assert (aside / "_journal.json").read_text() == journal


def test_a_disk_that_is_too_full_for_the_list_does_not_stop_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put = LocalStore.put

    def full(self: LocalStore, name: str, *args: Any, **kwargs: Any) -> None:
        if name == "_sparkscore.json":
            raise OSError(28, "No space left on device")
        put(self, name, *args, **kwargs)

    monkeypatch.setattr(LocalStore, "put", full)
    publish(sink_of(tmp_path / "out", "one", mode="append"), [1])

    assert rows(tmp_path / "out") == [1]
    assert "No space left" in caplog.text
    with pytest.raises(SinkConflictError, match=r"output\.replace: foreign"):
        sink_of(tmp_path / "out", "two").check_target()


@pytest.mark.parametrize("is_of_another_run", [False, True])
def test_a_folder_at_the_place_of_the_runs_rows_is_not_taken_for_them(
    tmp_path: Path,
    is_of_another_run: bool,  # noqa: FBT001
) -> None:
    sink, staged = sink_of(tmp_path / "out", "one"), StagedFile(f"attempts/x/part-00000-{'a' * 32}-0001.parquet", 2, 9)
    if is_of_another_run:
        publish(sink_of(tmp_path / "out", "two"), [1])
        (tmp_path / "out" / "run_id=two").rename(tmp_path / "out" / "run_id=one")
    else:
        write(tmp_path / "out" / "run_id=one" / "notes.txt")
        pq.write_table(pa.table({"x": [1, 2]}), tmp_path / "out" / "run_id=one" / "mine.parquet")

    with pytest.raises(SinkConflictError, match=r"OUTPUT_FOREIGN_FILES.*Move that folder away"):
        sink.landed(SCHEMA, [staged])
    if not is_of_another_run:
        assert not sink.shows_rows()


def test_the_folder_of_a_run_is_known_without_its_list(tmp_path: Path) -> None:
    publish(sink_of(tmp_path / "out", "one"), [1, 2])
    (tmp_path / "out" / "run_id=one" / "_sparkscore.json").unlink()

    landed = sink_of(tmp_path / "out", "one").landed(SCHEMA)

    assert landed is not None
    assert landed.rows == 2


def test_old_rows_that_could_not_be_moved_back_are_not_said_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(sink_of(tmp_path / "t", "a"), [1])
    rename, stuck = LocalStore.rename, ["run_id=b", "run_id=a"]

    def failing(store: LocalStore, name: str, new: str) -> None:
        if stuck and new == stuck[0]:
            stuck.pop(0)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(store, name, new)

    monkeypatch.setattr(LocalStore, "rename", failing)

    with pytest.raises(SinkError, match=r"\[PUBLISH_FAILED\].* in its folder '_replaced_by_…'"):
        publish(sink_of(tmp_path / "t", "b"), [2])

    assert not (tmp_path / "t" / "run_id=a").exists()
    recover(tmp_path / "t")
    assert rows(tmp_path / "t") == [1]
