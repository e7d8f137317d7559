"""Copy models and packed Python environments into a stage, where all workers can read them. Runs on the driver."""

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
    """Copy a file or folder into the stage, unless it was copied before, and return the path of the copy.

    The copy is made under a temporary name and then renamed, so an interrupted copy never has the final name. The next
    call for the same folder removes the incomplete copy.

    Args:
        original: the file or folder. Only the files that `files_of_model` yields are copied from a folder. Links are
            replaced with the contents of their targets.
        stage: path of the stage.
        folder: name of the folder in the stage that will contain the copy. The copy has the same name as the original.

    Raises:
        OSError: the original cannot be read, or the copy cannot be written.
    """
    store, name = open_store(stage), f"{folder}/{original.name}"
    if store.find(name) is None:
        # A process that was killed while copying may have left an incomplete copy.
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
    """Return a function with which `clear` recognizes the files and folders of an incomplete copy.

    Args:
        copied: names of the files that sparkscore copied or began to copy.
    """
    begun = {file for file in copied if file.split("/")[0] == UNFINISHED}
    return lambda name: name.startswith(f"{UNFINISHED}/") if name.endswith("/") else (finished(name) or name) in begun
