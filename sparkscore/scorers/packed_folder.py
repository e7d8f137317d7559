"""Pack a model's folder into one file on the driver, and unpack the file on the workers."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import Final

from sparkscore.digest import files_of_model

_SAME_TIME: Final = 0


def pack_folder(folder: Path, target: Path) -> None:
    """Write the files of a model's folder to an uncompressed TAR archive.

    The archive contains the files that the folder's digest covers. Folders with the same digest give identical
    archives, because file owners, permissions and times are not stored. Symbolic links are followed.

    Raises:
        OSError: a file cannot be read, or the archive cannot be written.
    """
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for file in sorted(files_of_model(folder)):
            entry = tarfile.TarInfo(file.relative_to(folder).as_posix())
            entry.mtime, entry.mode = _SAME_TIME, 0o644
            with file.open("rb") as content:
                entry.size = content.seek(0, 2)
                content.seek(0)
                archive.addfile(entry, content)


def unpack_folder(archive: Path, target: Path) -> None:
    """Unpack an archive from `pack_folder` into a new folder.

    Raises:
        OSError: the folder already exists, the archive is damaged or has an entry that would be written outside the
            folder, or a file cannot be written.
    """
    target.mkdir(parents=True)
    try:
        with tarfile.open(archive, "r:") as packed:
            for entry in packed:
                _unpack(packed, entry, target)
    except tarfile.TarError as error:
        raise OSError(f"damaged: {error}") from error


def _unpack(packed: tarfile.TarFile, entry: tarfile.TarInfo, target: Path) -> None:
    file = target / entry.name
    content = packed.extractfile(entry)
    if content is None or not file.resolve().is_relative_to(target.resolve()):
        raise OSError(f"damaged: an entry '{entry.name}'")
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("xb") as copy:
        shutil.copyfileobj(content, copy)
