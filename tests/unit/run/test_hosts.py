from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError, SparkscoreError
from sparkscore.outcome import Failure, describe_failure
from sparkscore.plan import InputFile, Snapshot
from sparkscore.run import hosts
from sparkscore.run.hosts import check_hosts, refuse_unseen, samples_of, telling_changes
from sparkscore.sinks import Sink, Target
from sparkscore.spark.hosts import Answer
from sparkscore.stage.stage_folder import StageFolder
from sparkscore.worker.host import HostCheck, write_proofs
from sparkscore.worker.host_problem import Problem, this_host

CLUSTER: Any = SimpleNamespace(conf={"spark.master": "spark://host:7077", "spark.app.id": "app-1"})


@pytest.fixture(autouse=True)
def _forget_what_was_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "_proved", set())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[HostCheck]:
    """Replace the Spark job: this process answers for two workers."""
    asked: list[HostCheck] = []

    def ask(_: object, check: HostCheck) -> list[Answer]:
        asked.append(check)
        found = [write_proofs(check) for _ in range(2)]
        return [
            Answer(
                this_host(),
                {},
                () if isinstance(each, Problem) else tuple(each),
                each if isinstance(each, Problem) else None,
            )
            for each in found
        ]

    monkeypatch.setattr(hosts, "ask_hosts", ask)
    return asked


@pytest.fixture
def stage(tmp_path: Path) -> StageFolder:
    (tmp_path / "out" / "_sparkscore" / "night").mkdir(parents=True)
    return StageFolder(tmp_path / "out" / "_sparkscore" / "night")


def snapshot_of(paths: Sequence[Path], size: int = 1) -> Snapshot:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    files = tuple(InputFile(str(path), size, 0) for path in paths)
    return Snapshot("files", "in", "v", len(files), len(files), files)


def sink_of(path: Path, *, is_moved: bool = False) -> Sink:
    sink: Any = SimpleNamespace(moves_files=is_moved, target=Target(path, "append", (), "night", "run_id"))
    return sink  # type: ignore[no-any-return]


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_a_local_master_needs_no_check(asked: list[HostCheck], stage: StageFolder) -> None:
    local: Any = SimpleNamespace(conf={"spark.master": "local[2]"})

    assert check_hosts(local, stage, []) is None
    assert (asked, files_in(stage.path)) == ([], [])


def test_the_job_runs_once_for_an_application_and_its_folders(
    asked: list[HostCheck], stage: StageFolder, tmp_path: Path
) -> None:
    snapshot = snapshot_of([tmp_path / "in" / "1"])
    first = check_hosts(CLUSTER, stage, [], snapshot)
    second = check_hosts(CLUSTER, stage, [], snapshot)

    assert (len(asked), first) == (1, second)
    assert files_in(stage.path) == ["nonce"]
    check_hosts(CLUSTER, stage, [], snapshot_of([tmp_path / "other" / "1"]))
    check_hosts(SimpleNamespace(conf={**CLUSTER.conf, "spark.app.id": "app-2"}), stage, [], snapshot)  # type: ignore[arg-type]
    assert len(asked) == 3


def test_a_table_that_does_not_contain_the_stage_is_checked_too(
    asked: list[HostCheck], stage: StageFolder, tmp_path: Path
) -> None:
    kept = check_hosts(
        CLUSTER, stage, [sink_of(tmp_path / "out"), sink_of(tmp_path / "new"), sink_of(tmp_path, is_moved=True)]
    )

    assert [place.table for place in asked[0].places] == [str(tmp_path / "out"), str(tmp_path / "new")]
    assert not (tmp_path / "new").exists()
    assert kept is not None
    assert [place.stage.location for place in kept.places] == [stage.location]


def test_a_worker_that_does_not_see_the_input_is_named(
    stage: StageFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, path = snapshot_of([tmp_path / "in" / "1"]), str(tmp_path / "in" / "1")
    answer = Answer(this_host(), {}, (), Problem(ErrorCode.INPUT_NOT_SEEN, path, "No such file or directory"))
    monkeypatch.setattr(hosts, "ask_hosts", lambda *_: [answer])

    with pytest.raises(SparkscoreError, match=r"\[INPUT_NOT_SEEN\] worker '.*Nothing was scored\.") as caught:
        check_hosts(CLUSTER, stage, [], snapshot)

    assert f"'{path}'" in caught.value.what


def test_a_file_that_was_removed_on_all_hosts_is_not_hidden(
    stage: StageFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, path = snapshot_of([tmp_path / "in" / "1"]), tmp_path / "in" / "1"

    def ask(*_: object) -> list[Answer]:
        path.unlink()
        return [Answer(this_host(), {}, (), Problem(ErrorCode.INPUT_NOT_SEEN, str(path), "No such file or directory"))]

    monkeypatch.setattr(hosts, "ask_hosts", ask)

    assert check_hosts(CLUSTER, stage, [], snapshot) is not None


def test_what_the_driver_cannot_take_is_refused(stage: StageFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "ask_hosts", lambda *_: [Answer(this_host(), {}, (f"hosts/{'0' * 32}",), None)])

    with pytest.raises(SparkscoreError, match=r"\[STAGE_NOT_SEEN\].*No such file or directory when the driver took"):
        check_hosts(CLUSTER, stage, [])


def test_a_sample_has_files_of_several_folders(tmp_path: Path) -> None:
    paths = [tmp_path / f"day={day:02}" / name for day in range(20) for name in ("a", "b")]

    samples = samples_of(snapshot_of(paths))

    assert len(samples) <= 8
    assert {Path(sample.path).name for sample in samples} == {"a"}
    assert len({Path(sample.path).parent for sample in samples}) == len(samples)


def test_a_sample_has_no_file_that_the_driver_does_not_see(tmp_path: Path) -> None:
    assert samples_of(snapshot_of([tmp_path / "changed"], size=7)) == []


@pytest.mark.parametrize(("folder", "sample"), [("_delta_log", "table/_delta_log"), ("", "table")])
def test_the_sample_of_a_table_is_its_folder(tmp_path: Path, folder: str, sample: str) -> None:
    (tmp_path / "table" / folder).mkdir(parents=True)
    snapshot = Snapshot("delta", f"file:{tmp_path}/table", 3, 1, 1)

    assert [each.path for each in samples_of(snapshot)] == [str(tmp_path / sample)]
    assert samples_of(replace(snapshot, format="quarantine")) == []


def failure_of(error: OSError) -> list[tuple[Failure | None, str]]:
    return [(None, "node7:1:ab"), (describe_failure(error), "node7:1:ab")]


@pytest.mark.parametrize("name", ["plain", "it's", "ü"])
def test_an_item_that_a_worker_does_not_see_is_no_fault_of_the_script(tmp_path: Path, name: str) -> None:
    path = tmp_path / "in" / name
    snapshot = snapshot_of([path])

    with pytest.raises(SparkscoreError, match=r"\[INPUT_NOT_SEEN\] worker 'node7' does not see") as caught:
        refuse_unseen(CLUSTER, snapshot, failure_of(FileNotFoundError(2, "No such file or directory", str(path))))

    assert str(path) in caught.value.what
    assert "Mount" in caught.value.next_step


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "No such file or directory", "weights.bin"),
        FileNotFoundError("no file 4711"),
        ValueError("[Errno 2] No such file or directory: 'PATH'"),
    ],
)
def test_other_failures_stay_with_the_script(tmp_path: Path, error: Exception) -> None:
    path = tmp_path / "in" / "1"
    error.args = tuple(str(each).replace("PATH", str(path)) for each in error.args)

    refuse_unseen(CLUSTER, snapshot_of([path]), [(describe_failure(error), "node7:1:ab")])


def test_an_item_that_is_gone_or_was_changed_stays_with_the_script(tmp_path: Path) -> None:
    snapshot, path = snapshot_of([tmp_path / "in" / "1"]), tmp_path / "in" / "1"
    failures = failure_of(FileNotFoundError(2, "No such file or directory", str(path)))
    path.unlink()

    refuse_unseen(CLUSTER, snapshot, failures)
    local: Any = SimpleNamespace(conf={"spark.master": "local[2]"})
    refuse_unseen(local, snapshot_of([path]), failures)


@pytest.mark.parametrize("code", [ErrorCode.INPUT_NOT_SEEN, ErrorCode.INPUT_VALUE])
def test_an_input_that_changed_while_it_was_scored_is_not_called_hidden(code: ErrorCode) -> None:
    def check_unchanged() -> None:
        raise SourceError(code=ErrorCode.INPUT_CHANGED, what="the input", next_step="Run again.")

    source: Any = SimpleNamespace(check_unchanged=check_unchanged)
    expected = ErrorCode.INPUT_CHANGED if code is ErrorCode.INPUT_NOT_SEEN else code

    with pytest.raises(SourceError, match=rf"\[{expected}\]"), telling_changes(source):
        raise SourceError(code=code, what="a file", next_step="Mount it.")
