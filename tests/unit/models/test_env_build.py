"""A real environment is built from a wheel of the test's own, packed, unpacked elsewhere and used."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from sparkscore.digest import digest_of_path
from sparkscore.errors import ConfigError, EnvironmentMismatchError
from sparkscore.models import env_build
from sparkscore.models.env_build import build_environment
from sparkscore.scorers.environment import EnvironmentSpec
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.worker import ChildSpec
from sparkscore.worker.child.interpreter import find_interpreter
from tests.support import quick_venv

ASKED = EnvironmentSpec("'req.txt'", ("tiny-package==1.0",))


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    # They are large, and there are no wheels of them here.
    monkeypatch.setattr(env_build, "_OWN_NEEDS", ())


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny_package-1.0-py3-none-any.whl", "w") as wheel:
        info = "tiny_package-1.0.dist-info"
        wheel.writestr("tiny_package.py", "ANSWER = 42\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-package\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"tiny_package.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return folder


def interpreter_of(archive: Path) -> str:
    return find_interpreter(ChildSpec(archive=ModelFiles("env", "", str(archive), digest_of_path(archive))))


def test_an_environment_is_built_once_and_works_where_it_is_unpacked(
    tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = build_environment(ASKED, tmp_path / "built", wheels)
    monkeypatch.setattr(env_build, "_install", None)  # a second build would fail

    again = build_environment(ASKED, tmp_path / "built", wheels)
    python = interpreter_of(archive)

    assert archive == again
    told = subprocess.run([python, "-c", "import tiny_package as t; print(t.ANSWER)"], capture_output=True, check=True)
    assert told.stdout == b"42\n"
    other = subprocess.run([python, "-c", "import pyarrow"], capture_output=True, check=False)
    assert b"No module named 'pyarrow'" in other.stderr


def test_requirements_that_are_not_to_be_had_are_refused_and_leave_nothing(
    tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(env_build, "_make", quick_venv.make)

    with pytest.raises(ConfigError) as caught:
        build_environment(EnvironmentSpec("'req.txt'", ("tiny-package==2.0",)), tmp_path / "built", wheels)

    assert caught.value.code == "ENVIRONMENT_INSTALL"
    assert "tiny-package==2.0" in str(caught.value)
    assert list((tmp_path / "built").iterdir()) == []


def test_another_python_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        build_environment(EnvironmentSpec("'conda.yml'", (), "3.4"), tmp_path)

    assert caught.value.code == "ENVIRONMENT_PYTHON"


def test_what_sparkscore_needs_is_added_where_the_requirements_do_not_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env_build, "_OWN_NEEDS", ("numpy", "pandas"))

    (added,) = env_build._missing_own(("Pandas[excel]==2.2", "https://example.org/x.whl"))

    assert added.startswith("numpy==")


@pytest.mark.parametrize(
    ("names", "got"),
    [
        (["pyvenv.cfg", "lib/python3.4/site-packages/x.py"], "packages of python3.4, and the worker has Python"),
        (["pyvenv.cfg"], "packages of no Python"),
        (["readme.txt"], "no 'bin/python' in it"),
    ],
)
def test_an_archive_that_is_no_environment_for_this_python_is_refused(
    tmp_path: Path, names: list[str], got: str
) -> None:
    archive = tmp_path / "env.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        for name in names:
            packed.addfile(tarfile.TarInfo(name))

    with pytest.raises(EnvironmentMismatchError, match="PYTHON_ARCHIVE") as caught:
        interpreter_of(archive)
    assert got in str(caught.value.got)


def test_packages_are_found_by_a_python_that_puts_its_own_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As Debian's Python outside of virtual environments: its scheme has other folders than that of environments.
    find = sysconfig.get_path
    monkeypatch.setattr(sysconfig, "get_path", lambda name, scheme="posix_home", **more: find(name, scheme, **more))
    archive = tmp_path / "env.tar.gz"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    with tarfile.open(archive, "w:gz") as packed:
        for name in ("pyvenv.cfg", f"lib/{version}/site-packages/x.py"):
            packed.addfile(tarfile.TarInfo(name))

    assert Path(interpreter_of(archive)).name == "python"


def test_an_archive_that_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "env.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.addfile(tarfile.TarInfo("../../outside"))

    with pytest.raises(EnvironmentMismatchError, match="PYTHON_ARCHIVE"):
        interpreter_of(archive)
    assert not (tmp_path / "outside").exists()


def test_an_archive_whose_link_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "env.tar.gz"
    link = tarfile.TarInfo("lib")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
    with tarfile.open(archive, "w:gz") as packed:
        packed.addfile(link)
        packed.addfile(tarfile.TarInfo("lib/outside"))

    with pytest.raises(EnvironmentMismatchError, match="PYTHON_ARCHIVE"):
        interpreter_of(archive)
    assert not (tmp_path / "outside").exists()


def test_an_interpreter_of_its_own_in_the_archive_is_used_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "packed" / "bin").mkdir(parents=True)
    (tmp_path / "packed" / "bin" / "python").symlink_to(sys.executable)
    with tarfile.open(tmp_path / "env.tar.gz", "w:gz") as packed:
        packed.add(tmp_path / "packed", ".")

    assert Path(interpreter_of(tmp_path / "env.tar.gz")).resolve() == Path(sys.executable).resolve()
