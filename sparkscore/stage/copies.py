"""Copy models and environments into a stage, where every worker can read them (driver)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from sparkscore.digest import files_of_model
from sparkscore.stage.clearing import clear
from sparkscore.stage.layout import UNFINISHED, copied_files, finished, list_copied
from sparkscore.stage.store import writing
from sparkscore.stage.surroundings import open_store


def copy_once(original: Path, stage: Path, folder: str) -> Path:
    """Copy a file or folder of the user's into a folder of a stage, unless the copy exists.

    A copy gets its name only when it is complete, so a copy that exists is complete, even after a crash.

    Args:
        original: the file or folder. Links in it are followed: the copy has the files that they lead to.
        stage: path of the stage.
        folder: name of a folder in the stage.

    Returns:
        the path of the copy.
    """
    store, name = open_store(stage), f"{folder}/{original.name}"
    if store.find(name) is None:
        # A process that was killed here may have left a part of the copy.
        clear(store, _begun_in(copied_files(store, folder)), folder)
        files = [""]
        if original.is_dir():
            files = [file.relative_to(original).as_posix() for file in files_of_model(original)]
        list_copied(store, folder, (f"{original.name}/{file}".rstrip("/") for file in files))
        if original.is_dir():
            store.make(f"{folder}/{UNFINISHED}")
        for file in files:
            copy = f"{folder}/{UNFINISHED}/{file}".rstrip("/")
            with (original / file).open("rb") as content, writing(store, copy) as target:
                shutil.copyfileobj(content, target, 1024 * 1024)
        store.rename(f"{folder}/{UNFINISHED}", name)
    return Path(store.locate(name))


def _begun_in(copied: Collection[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a name belongs to a copy that was not finished."""
    begun = {file for file in copied if file.split("/")[0] == UNFINISHED}
    return lambda name: name.startswith(f"{UNFINISHED}/") if name.endswith("/") else (finished(name) or name) in begun
