"""Copies of models and environments in a stage, where every worker reaches them (driver)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from sparkscore.digest import files_of_model
from sparkscore.stage.clearing import clear
from sparkscore.stage.layout import UNFINISHED, copied_files, finished, list_copied
from sparkscore.stage.store import writing
from sparkscore.stage.surroundings import open_store


def copy_once(source: Path, stage: Path, folder: str) -> Path:
    """Copy a file or folder of the user's into a folder of a stage, unless it is there.

    A copy that is there is whole, whoever was killed before: it gets its name when it is complete.

    Args:
        source: what is copied; what links lead to is copied in their place.
        stage: the stage.
        folder: a folder of it.

    Returns:
        the copy.
    """
    store, name = open_store(stage), f"{folder}/{source.name}"
    if store.find(name) is None:
        # A process that was killed here may have left some of it.
        clear(store, _begun_in(copied_files(store, folder)), folder)
        files = [file.relative_to(source).as_posix() for file in files_of_model(source)] if source.is_dir() else [""]
        list_copied(store, folder, (f"{source.name}/{file}".rstrip("/") for file in files))
        if source.is_dir():
            store.make(f"{folder}/{UNFINISHED}")
        for file in files:
            copy = f"{folder}/{UNFINISHED}/{file}".rstrip("/")
            with (source / file).open("rb") as content, writing(store, copy) as target:
                shutil.copyfileobj(content, target, 1024 * 1024)
        store.rename(f"{folder}/{UNFINISHED}", name)
    return Path(store.locate(name))


def _begun_in(copied: Collection[str]) -> Callable[[str], bool]:
    """Return the test of what belongs to a copy that was not finished."""
    begun = {file for file in copied if file.split("/")[0] == UNFINISHED}
    return lambda name: name.startswith(f"{UNFINISHED}/") if name.endswith("/") else (finished(name) or name) in begun
