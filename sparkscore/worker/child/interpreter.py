"""Find the interpreter that scores on this host, and unpack the environment that brings it (worker)."""

from __future__ import annotations

import os
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import Any

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import EnvironmentMismatchError
from sparkscore.removal import remove_file
from sparkscore.scorers.model_files import ModelFiles, fetch_model, fetch_once
from sparkscore.worker.engine import ChildSpec


def find_interpreter(spec: ChildSpec) -> str:
    """Give the path of the child's interpreter; an archive is unpacked once on this host.

    Raises:
        EnvironmentMismatchError: the archive holds no environment, or one for another Python.
        ModelError: the archive is not the one that the run began with.
    """
    if spec.archive is None:
        return spec.python or sys.executable
    archive = spec.archive
    folder = fetch_once(f"environment {archive.sha256}", "environment", lambda place: _unpack(archive, place))
    interpreter = folder / "bin" / "python"
    if not os.access(interpreter, os.X_OK):
        raise _no_environment("no 'bin/python' in it")
    return str(interpreter)


def _unpack(archive: ModelFiles, place: Path) -> None:
    try:
        with tarfile.open(fetch_model(archive)) as packed:
            for entry in packed:
                _extract(packed, entry, place)
    except tarfile.TarError as error:
        raise _no_environment(f"{type(error).__name__} when it was unpacked") from error
    if (place / "pyvenv.cfg").is_file():
        _use_interpreter_of_this_host(place)


def _extract(packed: tarfile.TarFile, entry: tarfile.TarInfo, place: Path) -> None:
    """Unpack one entry, and refuse one that leads out of the folder, by its name or by a link before it.

    Source: Python 3.11.4 and later have filters for this; Debian 12 has 3.11.2.
    """
    if not (place / entry.name).resolve().is_relative_to(place.resolve()):
        raise _no_environment("an entry that leads out of the archive's folder")
    options: dict[str, Any] = {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}
    packed.extract(entry, place, **options)


def _use_interpreter_of_this_host(place: Path) -> None:
    """Let a virtual environment, which has packages and no Python, use the Python of this worker."""
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    if not packages.is_dir():
        found = [folder.name for folder in sorted(place.glob("lib/python*"))]
        raise _no_environment(
            f"packages of {', '.join(found) or 'no Python'}, and the worker has Python {sys.version_info.major}."
            f"{sys.version_info.minor}"
        )
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    (place / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
    (place / "bin").mkdir(exist_ok=True)
    python = place / "bin" / "python"
    remove_file(python)
    python.symlink_to(base)


def _no_environment(got: str) -> EnvironmentMismatchError:
    return EnvironmentMismatchError(
        code=ErrorCode.PYTHON_ARCHIVE,
        what="'python.archive' is no environment for this worker",
        got=got,
        expected="a .tar.gz of 'sparkscore env build' for the workers' version of Python, or of conda-pack",
        next_step="Build it with the Python version of the workers.",
    )
