"""Find the child's Python interpreter on this host, unpacking its archive if necessary. Runs on the workers."""

from __future__ import annotations

import lzma
import os
import socket
import sys
import sysconfig
import tarfile
import zlib
from pathlib import Path
from typing import Any

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import EnvironmentMismatchError
from sparkscore.removal import remove_file
from sparkscore.scorers.model_files import ModelFiles, fetch_model, fetch_once
from sparkscore.worker.engine import ChildSpec


def find_interpreter(spec: ChildSpec) -> str:
    """Return the path of the Python interpreter for the child process.

    If the deployment names neither an interpreter nor an archive, the worker's own interpreter is used. An archive is
    unpacked once per host.

    Raises:
        EnvironmentMismatchError: the archive is damaged, is not a TAR file, contains no environment, contains a virtual
            environment for a different Python version, or has an entry that would be written outside its folder. Also
            raised if the archive cannot be unpacked on this host, for example because the disk is full.
        ModelError: the archive cannot be copied to this host, or has changed since the run began.
    """
    if spec.archive is None:
        return spec.python or sys.executable
    archive = spec.archive
    try:
        folder = fetch_once(f"environment {archive.sha256}", "environment", lambda target: _unpack(archive, target))
    except OSError as error:
        raise _not_unpacked(error) from error
    interpreter = folder / "bin" / "python"
    if not os.access(interpreter, os.X_OK):
        raise _no_environment("no 'bin/python' in it")
    return str(interpreter)


def _unpack(archive: ModelFiles, target: Path) -> None:
    """Unpack a Python environment from an archive into a folder.

    A virtual environment is modified to use this worker's Python.

    Raises:
        EnvironmentMismatchError: the archive is damaged, or is not an environment for this worker.
        OSError: a file cannot be written, for example because the disk is full.
    """
    try:
        with tarfile.open(fetch_model(archive)) as packed:
            for entry in packed:
                _extract(packed, entry, target)
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, OSError) as error:
        # System errors have an errno. Errors about damaged data, such as gzip.BadGzipFile, have none.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _no_environment(f"{type(error).__name__} when it was unpacked") from error
    if (target / "pyvenv.cfg").is_file():
        _use_interpreter_of_this_host(target)


def _extract(packed: tarfile.TarFile, entry: tarfile.TarInfo, target: Path) -> None:
    """Extract one entry of an archive, after checking that it stays inside the target folder.

    If this Python version supports extraction filters, the ``tar`` filter is applied as well.
    Source: https://docs.python.org/3/library/tarfile.html#tarfile-extraction-filter
    """
    if not (target / entry.name).resolve().is_relative_to(target.resolve()):
        raise _no_environment("an entry that would be written outside the archive's folder")
    options: dict[str, Any] = {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}
    packed.extract(entry, target, **options)


def _use_interpreter_of_this_host(target: Path) -> None:
    """Make an unpacked virtual environment use this worker's Python.

    A virtual environment contains packages, but no Python interpreter of its own.

    Raises:
        EnvironmentMismatchError: the environment has no packages for this Python version.
    """
    # The scheme is given, because Debian's Python has a different default scheme outside virtual environments.
    packages = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(target)}))
    if not packages.is_dir():
        found = [folder.name for folder in sorted(target.glob("lib/python*"))]
        raise _no_environment(
            f"packages of {', '.join(found) or 'no Python'}, and the worker has Python {sys.version_info.major}."
            f"{sys.version_info.minor}"
        )
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    (target / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
    (target / "bin").mkdir(exist_ok=True)
    python = target / "bin" / "python"
    remove_file(python)
    python.symlink_to(base)


def _not_unpacked(error: OSError) -> EnvironmentMismatchError:
    return EnvironmentMismatchError(
        code=ErrorCode.PYTHON_ARCHIVE,
        what=f"'python.archive' cannot be unpacked on host '{socket.gethostname()}'",
        got=error.strerror or type(error).__name__,
        next_step="Make room on that host in the folder of SPARK_LOCAL_DIRS or TMPDIR, or let the workers write there.",
    )


def _no_environment(got: str) -> EnvironmentMismatchError:
    return EnvironmentMismatchError(
        code=ErrorCode.PYTHON_ARCHIVE,
        what="'python.archive' is not an environment for this worker",
        got=got,
        expected="a .tar.gz of 'sparkscore env build' for the workers' version of Python, or of conda-pack",
        next_step="Build it with the Python version of the workers.",
    )
