from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sparkscore.errors import SparkscoreError
from sparkscore.stage.stage_folder import StageFolder
from sparkscore.worker import host
from sparkscore.worker.host import HostCheck, InputSample, Place, find_problem, prove_once, write_proofs
from sparkscore.worker.host_problem import Problem
from sparkscore.worker.own_package import package_digest, package_version


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_WAITS_S", (0.0,))


@pytest.fixture
def stage(tmp_path: Path) -> StageFolder:
    (tmp_path / "stage").mkdir()
    return StageFolder(tmp_path / "stage")


@pytest.fixture
def check(tmp_path: Path, stage: StageFolder) -> HostCheck:
    (tmp_path / "in.csv").write_text("id\n1\n")
    samples = (InputSample(str(tmp_path / "in.csv"), 5), InputSample(str(tmp_path), None))
    return HostCheck((Place(stage.for_tasks(), stage.keep_nonce()),), samples, package_digest(), package_version())


def problem_of(check: HostCheck) -> Problem:
    problem = find_problem(check)
    assert problem is not None
    return problem


def test_a_process_that_sees_everything_leaves_nothing_in_the_stage(check: HostCheck, stage: StageFolder) -> None:
    assert find_problem(check) is None

    assert [path.name for path in stage.path.rglob("*") if path.is_file()] == ["nonce"]


def test_the_driver_reads_and_removes_what_a_worker_wrote(check: HostCheck, stage: StageFolder) -> None:
    proofs = write_proofs(check)

    assert isinstance(proofs, list)
    assert [stage.take_proof(name) for name in proofs] == [check.places[0].nonce]
    assert sorted(path.name for path in stage.path.rglob("*")) == ["nonce"]


def test_a_stage_keeps_its_nonce(stage: StageFolder) -> None:
    assert stage.keep_nonce() == stage.keep_nonce()


def test_a_stage_that_is_not_there_is_not_seen(check: HostCheck, stage: StageFolder) -> None:
    shutil.rmtree(stage.path)

    problem = problem_of(check)

    assert (problem.code, problem.path) == ("STAGE_NOT_SEEN", str(stage.path))
    assert problem.got == "No such file or directory"
    assert not stage.path.exists()


def test_another_folder_at_the_path_of_the_stage_is_not_the_stage(check: HostCheck, stage: StageFolder) -> None:
    (stage.path / "nonce").write_text("of somebody else")

    assert problem_of(check).code == "STAGE_NOT_SEEN"


@pytest.mark.parametrize(("change", "got"), [("removed", "No such file"), ("longer", "another file, of 9 bytes")])
def test_a_file_of_the_input_must_be_the_one_that_the_driver_sees(
    check: HostCheck, tmp_path: Path, change: str, got: str
) -> None:
    (tmp_path / "in.csv").unlink()
    if change == "longer":
        (tmp_path / "in.csv").write_text("id\n1\n2\n3\n")

    problem = problem_of(check)

    assert (problem.code, problem.path) == ("INPUT_NOT_SEEN", str(tmp_path / "in.csv"))
    assert got in problem.got


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
@pytest.mark.parametrize(("folder", "code"), [("stage", "STAGE_NOT_WRITABLE"), ("in.csv", "INPUT_NOT_SEEN")])
def test_what_another_user_may_not_open_is_refused(check: HostCheck, tmp_path: Path, folder: str, code: str) -> None:
    for path in [tmp_path, *tmp_path.parents][:3]:
        path.chmod(0o755)
    (tmp_path / "stage").chmod(0o777)
    (tmp_path / folder).chmod(0o700 if folder == "stage" else 0o600)
    os.seteuid(65534)
    try:
        problem = problem_of(check)
    finally:
        os.seteuid(0)

    assert (problem.code, problem.got, problem.is_refused) == (code, "Permission denied", True)


def test_another_sparkscore_is_named_with_its_folder(check: HostCheck) -> None:
    problem = problem_of(replace(check, package="0" * 64))

    assert problem.code == "PACKAGE_MISSING"
    assert "with other modules in '" in problem.got


def test_a_process_is_checked_once_in_each_run(check: HostCheck, stage: StageFolder) -> None:
    prove_once(None)
    prove_once(check)
    shutil.rmtree(stage.path)
    prove_once(check)

    other = replace(check, places=(replace(check.places[0], nonce="of another run"),))
    with pytest.raises(SparkscoreError, match=r"\[STAGE_NOT_SEEN\] worker '.*uid \d+.*Nothing was published"):
        prove_once(other)


@pytest.fixture(autouse=True)
def _forget_proofs() -> Iterator[None]:
    yield
    host._proven.clear()
