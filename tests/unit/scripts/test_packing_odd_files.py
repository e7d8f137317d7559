"""Files beside the script, or of the model, that cannot be read, have no content, or change while the run goes on."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sparkscore.config import Model
from sparkscore.errors import ModelError, ScoringScriptError
from sparkscore.models import resolve_model
from sparkscore.run.prepare import prepare
from sparkscore.scripts import packing
from sparkscore.scripts.packing import LOG, PackedScript, different_files, pack_script

AS_NOBODY = """
import json, os, sys
from pathlib import Path
from sparkscore.config import Model
from sparkscore.errors import SparkscoreError
from sparkscore.models import resolve_model
from sparkscore.scripts.packing import pack_script
if not os.getuid():
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
for line in sys.stdin:
    kind, place, *script = json.loads(line)
    try:
        if kind == "code":
            packed = pack_script(Path(place), *script)
            said = f"{sorted(packed.files)} {sorted(packed.left_out.items())}"
        else:
            said = resolve_model(Model(path=place)).name
    except SparkscoreError as error:
        said = str(error)
    print(json.dumps(said), flush=True)
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """Give a folder that other users can enter; pytest's own are for this user alone."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        yield Path(place)


@pytest.fixture
def folder(shared: Path) -> Path:
    folder = shared / "code"
    folder.mkdir()
    (folder / "score.py").write_text("def run(b): ...")
    (folder / "labels.txt").write_text("a b")
    return folder


@pytest.fixture(scope="module")
def as_nobody() -> Iterator[Callable[..., str]]:
    """Do what another user would, in one process for all tests: this one may be root, who can read everything."""
    # That user could not write what coverage.py has measured.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", AS_NOBODY]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment) as nobody:
        assert nobody.stdin and nobody.stdout and nobody.stderr  # noqa: PT018 - for the types
        to, answers, errors = nobody.stdin, nobody.stdout, nobody.stderr

        def run(*arguments: object) -> str:
            to.write(json.dumps([*map(str, arguments)]) + "\n")
            to.flush()
            line = answers.readline()
            assert line, errors.read()
            return str(json.loads(line))

        yield run
        assert nobody.communicate(timeout=60) == ("", "")


def names(packed: PackedScript) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(packed.code)) as archive:
        return sorted(archive.namelist())


def test_what_has_no_content_stays_behind_and_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = pack_script(folder, "score.py")
    os.mkfifo(folder / "pipe")
    (folder / "gone").symlink_to(folder / "nothing")
    (folder / "circle").symlink_to("circle")
    with socket.socket(socket.AF_UNIX) as bound:
        monkeypatch.chdir(folder)  # the path of a socket is short
        bound.bind("socket")
        packed = pack_script(folder, "score.py")

    assert (packed.code, packed.sha256) == (before.code, before.sha256)
    assert packed.left_out == {
        "pipe": "a pipe, a socket or a device",
        "socket": "a pipe, a socket or a device",
        "gone": "a link to nothing",
        "circle": "a link to nothing",
    }


def test_what_this_user_cannot_read_stays_behind_and_is_named(folder: Path, as_nobody: Callable[..., str]) -> None:
    (folder / "lost+found").mkdir(mode=0o700)
    (folder / "secret.txt").write_text("x")
    for name in ("lost+found", "secret.txt"):
        (folder / name).chmod(0)

    said = as_nobody("code", folder, "score.py")

    assert said == (
        "['labels.txt', 'score.py'] [('lost+found', 'Permission denied'), ('secret.txt', 'Permission denied')]"
    )


@pytest.mark.parametrize("place", ["score.py", "."])
def test_a_script_that_this_user_cannot_read_is_refused_by_name(
    folder: Path, as_nobody: Callable[..., str], place: str
) -> None:
    (folder / place).chmod(0)

    said = as_nobody("code", folder, "score.py")
    (folder / place).chmod(0o700)

    assert said.startswith("[SCRIPT_NOT_FOUND] scoring script")
    assert "got Permission denied" in said


def test_a_pipe_as_the_script_is_refused_by_name(folder: Path) -> None:
    os.mkfifo(folder / "pipe.py")

    with pytest.raises(ScoringScriptError) as caught:
        pack_script(folder, "pipe.py")

    assert (caught.value.code, caught.value.got) == ("SCRIPT_NOT_FOUND", "a pipe, a socket or a device")


@pytest.mark.parametrize(
    ("place", "kind"),
    [("model", "pipe"), ("model", "device"), ("model", "a link to nothing"), ("model", "a circle"),
     ("model/weights", "pipe"), ("model/weights", "device")],
)  # fmt: skip
def test_a_model_without_content_is_refused_by_name(tmp_path: Path, place: str, kind: str) -> None:
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"device": "/dev/null", "a circle": path.name}.get(kind, "nothing"))

    with pytest.raises(ModelError) as caught:
        resolve_model(Model(path=str(tmp_path / "model")))

    assert caught.value.code == ("MODEL_UNREADABLE" if kind in {"pipe", "device"} else "MODEL_NOT_FOUND")


@pytest.mark.parametrize("place", ["", "weights", "deep", "deep/weights"])
def test_a_model_that_this_user_cannot_read_is_refused_by_name(
    shared: Path, as_nobody: Callable[..., str], place: str
) -> None:
    model = shared / "model"
    (model / "deep").mkdir(parents=True)
    (model / "lost+found").mkdir(mode=0o700)
    for name in ("weights", "deep/weights"):
        (model / name).write_text("1")
    assert as_nobody("model", model) == "model"
    (model / place).chmod(0)

    said = as_nobody("model", model)
    (model / place).chmod(0o700)

    assert said.startswith("[MODEL_UNREADABLE] model")
    assert "Permission denied" in said


def test_a_log_that_is_being_written_is_no_code(folder: Path) -> None:
    before = pack_script(folder, "score.py")
    logs = [folder / "run.txt", folder / "tee.txt"]
    with logs[0].open("a") as own, subprocess.Popen(["tee", str(logs[1])], stdin=subprocess.PIPE) as tee:
        own.write("line\n")
        own.flush()
        while not logs[1].exists():
            pass
        packed = pack_script(folder, "score.py")
        assert tee.stdin
        tee.stdin.close()

    assert packed.left_out == {"run.txt": LOG, "tee.txt": LOG}
    assert (packed.code, packed.sha256) == (before.code, before.sha256)
    # Nobody writes any more, and the run that left them out is taken up.
    assert pack_script(folder, "score.py", logs=["run.txt", "tee.txt"]).sha256 == before.sha256
    assert pack_script(folder, "score.py").sha256 != before.sha256


def test_a_module_or_a_database_that_is_open_is_code(folder: Path) -> None:
    with (folder / "helper.py").open("a"), (folder / "data.db").open("w+"):
        assert names(pack_script(folder, "score.py")) == ["data.db", "helper.py", "labels.txt", "score.py"]


@pytest.mark.parametrize("name", ["score.py", "labels.txt", "new.txt"])
def test_what_changed_since_the_run_began_is_named(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    settings = {"code_configuration.code": str(folder), "code_configuration.scoring_script": "score.py"}
    first = prepare(None, run_id="r", runs=tmp_path / "runs", settings=settings)
    assert first.script is not None
    first.folder.create()
    first.folder.write_request(first.request)
    first.folder.write_code(first.script.files, first.script.left_out)
    (folder / name).write_text("def run(b): return 1")

    with caplog.at_level(logging.WARNING, logger="sparkscore"):
        again = prepare(None, run_id="r", runs=tmp_path / "runs", settings=settings)

    assert again.script is not None
    assert again.script.sha256 != first.script.sha256
    assert different_files(again.script.files, first.script.files) == [name]
    assert f"code folder: '{name}' changed since run 'r' began" in caplog.text


def test_a_file_that_is_removed_while_the_folder_is_read_stays_behind_and_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "temporary.dat").write_text("x")
    listed = packing._Listing._add_entry

    def add(self: packing._Listing, entry: Path, above: frozenset[str]) -> None:
        listed(self, entry, above)
        if entry.name == "temporary.dat":
            entry.unlink()

    monkeypatch.setattr(packing._Listing, "_add_entry", add)
    packed = pack_script(folder, "score.py")

    assert packed.left_out["temporary.dat"] == "No such file or directory"
    assert "temporary.dat" not in packed.files
