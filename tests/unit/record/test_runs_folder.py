from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.errors import ConfigError, LineageError
from sparkscore.record.checksum import summed
from sparkscore.record.manifest import Manifest
from sparkscore.record.manifest import content_of as manifest_content
from sparkscore.record.run_ids import check_run_id, make_run_id
from sparkscore.record.run_record import RunRecord, new_record
from sparkscore.record.runs_folder import RunFolder
from sparkscore.stage import StagedFile
from sparkscore.stage.plan_file import PLAN_SCHEMA


def record_of(run_id: str, **more: Any) -> RunRecord:
    return RunRecord.model_validate(content_of(run_id, **more))


def content_of(run_id: str, **more: Any) -> dict[str, Any]:
    return {**new_record(run_id, None, {}).as_dict(), "started_at": "2026-01-01", **more}


def test_made_ids_are_valid_differ_and_sort_by_time() -> None:
    early, late = (make_run_id(datetime(2026, month, 1, tzinfo=UTC)) for month in (9, 10))

    assert early < late
    assert check_run_id(make_run_id()) != make_run_id()


@pytest.mark.parametrize(
    "run_id",
    ["a", "A.b-c_d", "run-1", "e5", "x" * 128, "Nano", "information", "lock", "a.locked", "record.json"],
)
def test_an_id_starts_with_a_letter(run_id: str) -> None:
    assert check_run_id(run_id) == run_id


@pytest.mark.parametrize(
    "run_id",
    [
        "",
        "1",
        "_a",
        ".a",
        "-a",
        "a/b",
        "a b",
        "a\n",
        "é",
        "a=b",
        "a%20",
        "x" * 129,
        "../a",
        "NaN",
        "nan",
        "Infinity",
        "inf",
        "a.",
        "a.lock",
        "A.LOCK",
        "a.lock.0f",
        "spark-warehouse",
        "spark.log",
        "queries.jsonl",
        "Metastore_DB",
    ],
)
def test_what_cannot_name_a_folder_or_reads_as_a_number_is_no_id(run_id: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_run_id(run_id)

    assert caught.value.code == "RUN_ID"
    assert len(str(caught.value)) < 400


@given(st.text(max_size=130))
def test_an_accepted_id_is_one_plain_name(run_id: str) -> None:
    try:
        check_run_id(run_id)
    except ConfigError:
        return
    assert re.fullmatch(r"[A-Za-z][\w.-]*", run_id, re.ASCII)
    assert Path("/runs", run_id).parts == ("/", "runs", run_id)


def test_a_folder_is_made_once_or_twice_with_room_for_the_scripts_files(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "deep" / "runs", "a")

    folder.create()
    folder.create()

    assert folder.script_output.is_dir()
    assert folder.read_record() is None


@pytest.mark.parametrize("kind", ["code", "record", "manifest", "file", "link"])
def test_a_folder_of_the_users_with_the_runs_name_is_refused_and_stays(kind: str, tmp_path: Path) -> None:
    """Such as `--runs .` with the run id `march` beside a folder `march`."""
    kept = tmp_path / "march"
    if kind != "file":
        (tmp_path / "theirs").mkdir()
        kept = tmp_path / "theirs" / {"code": "score.py", "link": "x"}.get(kind, f"{kind}.json")
        (tmp_path / "march").symlink_to("theirs") if kind == "link" else (tmp_path / "theirs").rename(
            tmp_path / "march"
        )
        kept = kept if kind == "link" else tmp_path / "march" / kept.name
    kept.write_text('{"run_id": "march", "mine": 1}')
    before = sorted(tmp_path.rglob("*"))
    folder = RunFolder(tmp_path, "march")

    for look in (folder.refuse_foreign, folder.create):
        with pytest.raises(ConfigError, match=r"\[RUN_FOLDER_NOT_OURS\].*Nothing was written.*--run-id"):
            look()

    assert sorted(tmp_path.rglob("*")) == before
    assert kept.read_text() == '{"run_id": "march", "mine": 1}'


def test_the_folder_of_an_earlier_attempt_or_version_is_the_runs_own(tmp_path: Path) -> None:
    for name in ("again", "damaged"):
        folder = RunFolder(tmp_path, name)
        folder.create()
        folder.write_record(record_of(name))
        folder.write_request({"options": {"run_id": name}})
        (folder.path / "anything").touch()
    (tmp_path / "damaged" / "record.json").write_text("{")
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun" / "script_output").mkdir(parents=True)
    for name in ("lock", "spark.log", "spark.log.1"):
        (tmp_path / "begun" / name).touch()

    for name in ("again", "damaged", "empty", "begun", "new"):
        RunFolder(tmp_path, name).create()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")

    with pytest.raises(LineageError) as caught:
        RunFolder(tmp_path / "runs", "a").create()

    assert (caught.value.code, caught.value.got) == ("RUNS_FOLDER", "Not a directory")


@pytest.mark.parametrize("text", ["plain", "é 雪", "\udce9 of a file name", 'quote " and \\', "\n"])
def test_a_record_comes_back_as_it_was_written(text: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "a")
    folder.create()
    record = record_of("a", text=text, nothing=None, number=0.1)

    folder.write_record(record_of("a", text="older"))
    folder.write_record(record)

    assert folder.read_record() == record
    assert [path.name for path in folder.path.glob("[!.]*") if path.is_file()] == ["record.json"]


def test_a_reader_never_sees_half_a_record(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "a")
    folder.create()
    folder.write_record(record_of("a", n=0))
    stop, wrong = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            record = folder.read_record()
            if record is None or len(record.as_dict().get("filling", [])) not in {0, 5000}:
                wrong.append(record)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(30):
        folder.write_record(record_of("a", n=number, filling=[number] * 5000))
    stop.set()
    reader.join()

    assert wrong == []


def test_a_manifest_names_the_files_that_count(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "a")
    folder.create()

    assert folder.read_manifest() is None
    files, quarantined = StagedFile("attempts/x/part.parquet", 3, 99), StagedFile("quarantine/x/part.parquet", 1, 9)
    manifest = Manifest((files,), (quarantined,), {"x": "array<double>"}, {"model_name": None}, record_of("a"))

    folder.write_manifest(manifest)

    assert folder.read_manifest() == manifest
    content = json.loads((folder.path / "manifest.json").read_text())
    assert content["run_id"] == "a"
    assert content["files"] == [{"path": "attempts/x/part.parquet", "rows": 3, "size_bytes": 99, "sha256": ""}]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: len(text) // 2],
        lambda _: "",
        lambda text: text.replace('"rows": 3', '"rows": 4'),
        lambda text: text.replace("part.parquet", "port.parquet"),
        lambda text: json.dumps({name: part for name, part in json.loads(text).items() if name != "sha256"}),
    ],
)
def test_a_manifest_that_was_changed_is_refused_by_name(tmp_path: Path, change: Callable[[str], str]) -> None:
    folder = RunFolder(tmp_path, "a")
    folder.create()
    folder.write_manifest(Manifest((StagedFile("attempts/x/part.parquet", 3, 99, "ab"),), (), {}, {}, record_of("a")))
    path = folder.path / "manifest.json"
    path.write_text(change(path.read_text()))

    with pytest.raises(LineageError, match="MANIFEST_CHANGED") as caught:
        folder.read_manifest()

    assert str(path) in caught.value.what


def test_a_manifest_of_a_version_without_checksums_is_read(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "a")
    folder.create()
    content = {"run_id": "a", "files": [{"path": "x", "rows": 3, "size_bytes": 9}], "quarantined": [], "columns": {}}
    (folder.path / "manifest.json").write_text(json.dumps(content | {"commit_info": {}, "record": content_of("a")}))

    assert folder.read_manifest() == Manifest((StagedFile("x", 3, 9),), (), {}, {}, record_of("a"))


@pytest.mark.parametrize("number", [0, 2, 99, "2", "next", True, 1.5, [1]])
def test_a_manifest_of_another_format_is_refused_by_its_number_whatever_its_checksum(
    tmp_path: Path, number: object
) -> None:
    folder = RunFolder(tmp_path, "a")
    folder.create()
    folder.write_manifest(Manifest((StagedFile("x", 3, 9, "ab"),), (), {}, {}, record_of("a")))
    path = folder.path / "manifest.json"
    content = json.loads(path.read_text())
    assert content["format"] == 1
    path.write_text(json.dumps(content | {"format": number, "parts": []}))

    with pytest.raises(LineageError, match=r"\[OTHER_FORMAT\] the manifest '.*manifest.json' of run 'a'") as caught:
        folder.read_manifest()

    assert str(number) in caught.value.got
    assert "sparkscore runs show a --json" in caught.value.next_step


def test_a_manifest_without_a_number_is_of_the_first_format(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "a")
    folder.create()
    manifest = Manifest((StagedFile("x", 3, 9, "ab"),), (), {}, {}, record_of("a"))
    content = manifest_content(manifest, "a")
    del content["format"], content["sha256"]
    (folder.path / "manifest.json").write_text(json.dumps(summed(content)))

    assert folder.read_manifest() == manifest


def test_a_plan_is_kept_as_parquet(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "a")
    folder.create()
    rows = pa.Table.from_pylist([{"unit": 0, "mini_batch": "0", "path": "/in/a"}], schema=PLAN_SCHEMA)

    folder.write_plan(rows)

    assert pq.read_table(folder.path / "plan.parquet") == rows


def test_two_ids_that_the_store_takes_for_one_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    RunFolder(tmp_path, "Night").create()
    RunFolder(tmp_path, "night").create()  # this store tells them apart
    monkeypatch.setattr(os, "listdir", lambda _: ["Night"])

    with pytest.raises(ConfigError, match=r"\[RUN_ID\].*'Night' in a store that takes both names for one"):
        RunFolder(tmp_path, "night").create()


@pytest.mark.parametrize(
    "files",
    [
        {"run.log": "mine"},
        {"spark.log": "mine"},
        {"record.json": '{"run_id": "march", "state": "my own experiment"}'},
        {"request.json": '{"options": {"run_id": "march"}}', "model.bin": "x"},
    ],
)
def test_files_of_the_users_that_are_called_like_a_runs_are_refused_and_stay(
    files: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "march").mkdir()
    for name, text in files.items():
        (tmp_path / "march" / name).write_text(text)

    with pytest.raises(ConfigError, match="RUN_FOLDER_NOT_OURS"):
        RunFolder(tmp_path, "march").create()

    assert {path.name: path.read_text() for path in (tmp_path / "march").iterdir()} == files


@pytest.mark.parametrize("content", [b"", b"not hexadecimal", b"ab" * 31, b"ab " * 32, "ä".encode()])
def test_a_key_that_was_changed_is_refused(tmp_path: Path, content: bytes) -> None:
    run = RunFolder(tmp_path, "a")
    run.create()
    key = run.key()
    (run.path / "identity.key").write_bytes(content)

    with pytest.raises(LineageError, match=r"\[RUNS_FOLDER\].*identity\.key'") as caught:
        run.key()

    assert len(key) == 32
    assert "another --run-id" in caught.value.next_step
    assert "hexadecimal'" not in str(caught.value)
