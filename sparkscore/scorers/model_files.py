"""Bring a model's files from the stage to this host, once, and prove that they are the right ones (worker)."""

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
from dataclasses import dataclass
from pathlib import Path

from sparkscore.digest import digest_of_path, files_of_model
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelError
from sparkscore.removal import make_folder, mark_made, move_new, remove_below, remove_made
from sparkscore.stage.layout import SCRIPTS, UNFINISHED

_KEPT_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class ModelFiles:
    """A model on its way to the workers; plain and picklable.

    Attributes:
        name: name of the model.
        version: its version, as the result says it.
        source: the file or folder in the stage, under its own name; every worker reaches it.
        sha256: the digest that the files must have.
    """

    name: str
    version: str
    source: str
    sha256: str


def fetch_model(files: ModelFiles) -> Path:
    """Give this host's own copy of a model, made by the first worker process that asks for it.

    Runs on the worker, once per worker process. The copy is verified each time: what is loaded is what was resolved.

    Raises:
        ModelError: the files cannot be read, or are not those whose digest the driver took.
    """
    source = Path(files.source)
    with _reporting(files), _entry(files.sha256) as folder:
        # Under its own name, beside other names: the same files may be known by two.
        copy = folder / source.name
        if not copy.exists() or digest_of_path(copy) != files.sha256:
            _replace(copy, lambda unfinished: copy_model(source, unfinished))
            if (found := digest_of_path(copy)) != files.sha256:
                remove_below(folder, copy)
                raise _changed(files, found)
    return copy


def fetch_once(key: str, name: str, make: Callable[[Path], None]) -> Path:
    """Give this host's own copy of files whose digest nobody knows, made by the first worker process that asks.

    Args:
        key: what the files are.
        name: name of the copy.
        make: writes the files to the path that it gets.
    """
    with _entry(hashlib.sha256(key.encode()).hexdigest()) as folder:
        copy = folder / name
        if not copy.exists():
            _replace(copy, make)
    return copy


def copy_model(source: Path, target: Path) -> None:
    """Copy a model's file or folder; what links lead to is copied in their place."""
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
    """Make a folder on the file system of the copies, for `remove_made`; one that is left behind goes in a week."""
    return make_folder(SCRIPTS, _cache_folder())


def link_files(source: Path, target: Path) -> None:
    """Make a copy's file or folder known under another name too: real files, which take no space.

    Hard links and no symbolic ones: MLflow 3.8 resolves those, and refuses files that lead out of a model's folder.
    Where a file system has no hard links, the files are copied.
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
    """Give a folder of the cache to this process alone; a copy's use shows in the time of its folder."""
    cache = _cache_folder()
    folder = cache / name
    with _locked(cache, name):
        folder.mkdir(exist_ok=True)
        mark_made(folder)
        os.utime(folder)
        yield folder
    _remove_old(cache)


def _replace(copy: Path, make: Callable[[Path], None]) -> None:
    """Make a copy anew; nobody sees it before it is whole."""
    folder, unfinished = copy.parent, copy.with_name(UNFINISHED)
    try:
        # A process that was killed here may have left some of it.
        remove_below(folder, unfinished)
        make(unfinished)
        remove_below(folder, copy)
        move_new(unfinished, copy)
    finally:
        remove_below(folder, unfinished)


def _cache_folder() -> Path:
    """Give this user's folder of models on this host; another user must not be able to put files there.

    It lies in the folder of Spark's own for this application, which goes with the application; where Spark names none,
    among the system's temporary files.
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
    """Give the first folder of this executor's for local data, which Spark names to its Python workers."""
    folders = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")
    return next((folder for folder in folders if os.access(folder, os.W_OK | os.X_OK)), None)


@contextmanager
def _locked(cache: Path, name: str, operation: int = fcntl.LOCK_EX) -> Iterator[None]:
    with (cache / f"{name}.lock").open("w") as file:
        fcntl.flock(file, operation)
        yield


def _remove_old(cache: Path) -> None:
    """Remove copies that no process has asked for in a week."""
    limit = time.time() - _KEPT_SECONDS
    for entry in cache.iterdir():
        # A copy that is being fetched is locked, and after that it is new.
        with suppress(OSError):
            if _is_older(entry, limit):
                with _locked(cache, entry.name, fcntl.LOCK_EX | fcntl.LOCK_NB):
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
            what=f"model '{files.name}' cannot be copied to host '{socket.gethostname()}'",
            got=f"{type(error).__name__}: {error}",
            next_step="Workers must be able to read the folder of the run, and to write their own TMPDIR.",
        ) from error


def _changed(files: ModelFiles, found: str) -> ModelError:
    return ModelError(
        code=ErrorCode.MODEL_CHANGED,
        what=f"model '{files.name}' is not the one that the run began with",
        got=f"sha256 {found}",
        expected=files.sha256,
        state="Nothing was published.",
        next_step="Run again when the model is complete.",
    )
