from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from sparkscore.errors import ConfigError, ScoringScriptError
from sparkscore.scripts import packing as script_package
from sparkscore.scripts.packing import PackedScript, pack_script


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    (folder / "lib").mkdir(parents=True)
    (folder / "score.py").write_text("def run(b): ...")
    (folder / "lib" / "prep.py").write_text("x = 1")
    (folder / "labels.txt").write_text("é", encoding="utf-8")
    return folder


def contents(packed: PackedScript) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(packed.code)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_folder_travels_with_all_its_files(folder: Path) -> None:
    packed = pack_script(folder, "score.py")

    assert contents(packed) == {
        "labels.txt": "é".encode(), "lib/prep.py": b"x = 1", "score.py": b"def run(b): ...",
    }  # fmt: skip
    assert (packed.path, packed.name) == (folder / "score.py", "score.py")
    assert packed.describe() == {"path": str(folder / "score.py"), "sha256": packed.sha256}


@pytest.mark.parametrize(
    "name", [".git/config", ".env", "__pycache__/x.pyc", "lib/__pycache__/x.pyc", "sparkscore-runs/a/record.json"]
)
def test_hidden_files_caches_and_runs_stay_behind(name: str, folder: Path) -> None:
    before = pack_script(folder, "score.py")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("x")

    assert pack_script(folder, "score.py") == before


def test_the_package_does_not_depend_on_times_places_or_the_order_of_making(folder: Path, tmp_path: Path) -> None:
    before = pack_script(folder, "score.py")
    copy = tmp_path / "copy"
    (copy / "lib").mkdir(parents=True)
    for name in ("score.py", "lib/prep.py", "labels.txt"):
        (copy / name).write_bytes((folder / name).read_bytes())
        os.utime(copy / name, (1, 1))
        (copy / name).chmod(0o700)

    after = pack_script(copy, "score.py")

    assert (after.code, after.sha256) == (before.code, before.sha256)


def test_the_digest_depends_on_names_and_contents(folder: Path) -> None:
    digests = [pack_script(folder, "score.py").sha256]
    (folder / "labels.txt").write_text("e")
    digests.append(pack_script(folder, "score.py").sha256)
    (folder / "labels.txt").rename(folder / "label.txt")
    digests.append(pack_script(folder, "score.py").sha256)
    (folder / "label.txt").rename(folder / "lib" / "label.txt")
    digests.append(pack_script(folder, "score.py").sha256)

    assert len(set(digests)) == 4


@pytest.mark.parametrize("script", ["src/score.py", "./src/score.py", "src/../src/score.py"])
def test_the_script_may_be_in_a_folder_below(script: str, folder: Path) -> None:
    (folder / "src").mkdir()
    (folder / "src" / "score.py").write_text("def run(b): ...")

    assert pack_script(folder, script).name == "src/score.py"


@pytest.mark.parametrize(
    ("script", "got"),
    [
        ("missing.py", "no such file"),
        ("lib", "no such file"),
        ("../outside.py", "outside the code folder"),
        (".hidden.py", "hidden in it"),
        ("__pycache__/score.py", "hidden in it"),
    ],
)
def test_a_script_that_would_not_travel_is_refused(script: str, got: str, folder: Path) -> None:
    for name in ("../outside.py", ".hidden.py", "__pycache__/score.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("def run(b): ...")

    with pytest.raises(ScoringScriptError) as caught:
        pack_script(folder, script)

    assert caught.value.code == "SCRIPT_NOT_FOUND"
    assert got in caught.value.got


def test_links_are_followed_but_not_in_circles(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "util.py").write_text("y = 2")
    (folder / "shared").symlink_to(tmp_path / "shared")
    for name, target in (
        ("up", folder.parent),
        ("here", folder),
        ("self", folder / "self"),
        ("broken", tmp_path / "no"),
    ):
        (folder / "lib" / name).symlink_to(target)
    (folder / "lib" / "up").unlink()
    os.mkfifo(folder / "pipe")

    assert sorted(contents(pack_script(folder, "score.py"))) == [
        "labels.txt",
        "lib/prep.py",
        "score.py",
        "shared/util.py",
    ]


def test_a_folder_that_is_too_large_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script_package, "_MOST_BYTES", 1024**2)
    (folder / "weights").write_bytes(b"0" * (1024**2 + 1))

    with pytest.raises(ConfigError) as caught:
        pack_script(folder, "score.py")

    assert (caught.value.code, caught.value.got) == ("CODE_TOO_LARGE", "1 MiB")
    assert str(folder) in caught.value.what
