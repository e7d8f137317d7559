"""Copy a model's files from the stage, or from the folder of files that Spark sent, and check their digest.

All worker processes on a host share one copy. Runs on the workers.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from sparkscore.digest import digest_of_path, files_of_model
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelError
from sparkscore.removal import make_folder, mark_made, move_new, remove_below, remove_made
from sparkscore.scorers.packed_folder import unpack_folder
from sparkscore.stage.layout import SCRIPTS, UNFINISHED

_KEPT_SECONDS = 7 * 24 * 3600
_USED = ".used.lock"
# File descriptors whose locks tell other processes which cache folders this process uses, by paths of the lock files.
_in_use: dict[Path, int] = {}


@dataclass(frozen=True)
class ModelFiles:
    """The location and digest of files for the workers: a model, a packed Python environment, or a code folder.

    Instances can be pickled.

    Attributes:
        name: name of the model or environment.
        version: model version, as written to the result. Empty for an environment.
        source: path of the file or folder in the stage, which every worker can read, or the name of a file that Spark
            sends to the workers. `found_in` replaces such a name with the file's path on this host.
        sha256: the expected digest of the files.
        file_name: original name of the file or folder if `source` is named differently.
        is_packed: whether `source` is a TAR archive of the model's folder, made by `pack_folder`.
        kind: one word for what the files are, for error messages.
    """

    name: str
    version: str
    source: str
    sha256: str
    file_name: str = ""
    is_packed: bool = False
    kind: str = "model"

    def found_in(self, folder: Callable[[], str]) -> ModelFiles:
        """Return the files with their path on this host as the `source`, if Spark sent them to the workers.

        Files in the stage are returned unchanged.

        Args:
            folder: function that returns the absolute path of the folder that contains the files sent by Spark.
        """
        return self if Path(self.source).is_absolute() else replace(self, source=str(Path(folder()) / self.source))


def fetch_model(files: ModelFiles) -> Path:
    """Copy a model to this host's cache, unless a valid copy is already there, and return the path of the copy.

    Runs on the worker. An existing copy is valid if its digest is correct, which is checked on every call.

    Raises:
        ModelError: the files cannot be read or copied, the digest of a new copy is wrong, or other users have access
            to the cache.
    """
    source = Path(files.source)
    with _reporting(files), _entry(files.sha256) as folder:
        # The copy keeps the model's file name, because two models may have the same content but different names.
        copy = folder / (files.file_name or source.name)
        if not copy.exists() or digest_of_path(copy) != files.sha256:
            make = unpack_folder if files.is_packed else copy_model
            _replace(copy, lambda unfinished: make(source, unfinished))
            if (found := digest_of_path(copy)) != files.sha256:
                remove_below(folder, copy)
                raise _changed(files, found)
    return copy


def read_file(files: ModelFiles) -> bytes:
    """Return the content of a file that the driver sent, such as a packed code folder, after checking its digest.

    Runs on the worker. Unlike `fetch_model`, this function leaves no copy on this host.

    Raises:
        ModelError: the file cannot be read, or its digest is wrong.
    """
    with _reporting(files):
        content = Path(files.source).read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != files.sha256:
        raise _changed(files, found)
    return content


def fetch_once(key: str, name: str, make: Callable[[Path], object]) -> Path:
    """Create a file or folder in this host's cache if it does not exist yet, and return its path.

    Unlike `fetch_model`, this function does not check a digest.

    Args:
        key: string that identifies the content, for example a model's registry, name and version.
        name: name of the file or folder in the cache.
        make: function that writes the file or folder to a given path.

    Raises:
        ModelError: other users have access to the cache.
        OSError: the file or folder cannot be written. Any exception raised by ``make`` is passed on as well.
    """
    with _entry(hashlib.sha256(key.encode()).hexdigest()) as folder:
        copy = folder / name
        if not copy.exists():
            _replace(copy, make)
    return copy


def copy_model(source: Path, target: Path) -> None:
    """Copy a model file, or the files in a model folder that are included in the model's digest.

    Symbolic links are followed: the files that they point to are copied.

    Raises:
        OSError: a file cannot be read or written, or the model is a folder and ``target`` already exists.
    """
    if not source.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        return
    target.mkdir(parents=True)
    for file in files_of_model(source):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def make_folder_for_links() -> Path:
    """Create a folder in this host's model cache, where model files can be hard-linked.

    The caller must remove the folder with `remove_made`. If the caller is killed before that, the folder is
    removed by a process that fetches a model more than a week later.

    Raises:
        ModelError: other users have access to the cache.
    """
    cache = _cache_folder()
    folder = make_folder(SCRIPTS, cache)
    _keep(cache, folder.name)
    return folder


def link_files(source: Path, target: Path) -> None:
    """Create a hard link to a file, or recreate a folder at another path with hard links to all of its files.

    Hard links take no disk space. Symbolic links would not work: MLflow 3.8 resolves them and raises an error for files
    outside the model's folder. A file that cannot be hard-linked is copied.
    """
    if source.is_dir():
        target.mkdir()
        for entry in source.iterdir():
            link_files(entry, target / entry.name)
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


@contextmanager
def _entry(name: str) -> Iterator[Path]:
    """Lock a cache folder for the duration of the ``with`` block, and yield its path.

    The folder is created if it does not exist. Other processes that need the folder wait until it is unlocked. The
    folder's modification time is set to now, so that `_remove_old` knows when the folder was last used, and the folder
    is kept while this process lives. If the block raises no exception, `_remove_old` is called at the end.

    Args:
        name: name of the folder, which is a digest.
    """
    cache = _cache_folder()
    folder = cache / name
    with _locked(cache, name):
        folder.mkdir(exist_ok=True)
        mark_made(folder)
        os.utime(folder)
        _keep(cache, name)
        yield folder
    _remove_old(cache)


def _replace(copy: Path, make: Callable[[Path], object]) -> None:
    """Write a file or folder to the cache under a temporary name, and rename it when it is complete.

    An existing file or folder is replaced.

    Args:
        copy: final path of the file or folder.
        make: function that writes the file or folder to a given path.
    """
    folder, unfinished = copy.parent, copy.with_name(UNFINISHED)
    try:
        # A process that was killed here may have left an unfinished copy.
        remove_below(folder, unfinished)
        make(unfinished)
        remove_below(folder, copy)
        move_new(unfinished, copy)
    finally:
        remove_below(folder, unfinished)


def _cache_folder() -> Path:
    """Return the path of this user's model cache on this host, creating the folder if necessary.

    The cache is in the first writable folder listed in ``SPARK_LOCAL_DIRS``. If no listed folder is writable, the
    cache is in the system's temporary folder. Only this user has access to the cache.

    Raises:
        ModelError: the path is a link or a file, another user owns the folder, or other users have access to it.
    """
    folder = Path(_folder_of_application() or tempfile.gettempdir()) / f"sparkscore-models-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ModelError(
            code=ErrorCode.MODEL_CACHE,
            what=f"folder '{folder}' for copies of models",
            got="a link or a file, another owner, or permissions for other users",
            expected="a folder that only this user can enter",
            next_step=f"Remove '{folder}' on the worker's host.",
        )
    return folder


def _folder_of_application() -> str | None:
    """Return the first writable folder listed in Spark's ``SPARK_LOCAL_DIRS`` variable, or None if none is writable."""
    folders = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")
    return next((folder for folder in folders if os.access(folder, os.W_OK | os.X_OK)), None)


@contextmanager
def _locked(cache: Path, name: str, operation: int = fcntl.LOCK_EX, suffix: str = ".lock") -> Iterator[None]:
    with (cache / f"{name}{suffix}").open("w") as file:
        fcntl.flock(file, operation)
        yield


def _keep(cache: Path, name: str) -> None:
    """Keep other processes from removing a cache folder as long as this process, or a child of it, lives."""
    path = cache / f"{name}{_USED}"
    if path not in _in_use:
        _in_use[path] = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(_in_use[path], fcntl.LOCK_SH)


def _remove_old(cache: Path) -> None:
    """Remove the cache folders that were last modified more than a week ago, and that no living process uses."""
    limit, at_once = time.time() - _KEPT_SECONDS, fcntl.LOCK_EX | fcntl.LOCK_NB
    for entry in cache.iterdir():
        # A process holds the folder's lock while it makes a copy. Afterwards, the modification time is recent.
        with suppress(OSError):
            if _is_older(entry, limit):
                with _locked(cache, entry.name, at_once), _locked(cache, entry.name, at_once, _USED):
                    if _is_older(entry, limit):
                        remove_made(entry)


def _is_older(entry: Path, limit: float) -> bool:
    return entry.is_dir() and entry.stat().st_mtime < limit


@contextmanager
def _reporting(files: ModelFiles) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelError(
            code=ErrorCode.MODEL_FETCH,
            what=f"{files.kind} '{files.name}' cannot be copied to host '{socket.gethostname()}'",
            got=f"{type(error).__name__}: {error}",
            next_step="Let the workers read the folder of the run and write in their own TMPDIR.",
        ) from error


def _changed(files: ModelFiles, found: str) -> ModelError:
    return ModelError(
        code=ErrorCode.MODEL_CHANGED,
        what=f"{files.kind} '{files.name}' has changed since the run began",
        got=f"sha256 {found}",
        expected=files.sha256,
        state="Nothing was published.",
        next_step="Run again when the model is complete.",
    )
