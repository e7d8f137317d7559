"""Take the SHA-256 of a file or a folder; the driver and workers must agree on it (driver and worker)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

_READ_BYTES = 1024 * 1024


def digest_of_path(path: Path) -> str:
    """Give the SHA-256 of a file, or of a folder: of its files' relative paths and digests, in the paths' order.

    Folders that are links belong to it; a link that leads in a circle is passed over, and so are caches of Python.
    """
    if path.is_file():
        return _digest_of_file(path)
    digest = hashlib.sha256()
    for file in sorted(files_of_model(path)):
        digest.update(
            f"{file.relative_to(path).as_posix()}\0{_digest_of_file(file)}\n".encode(errors="surrogateescape")
        )
    return digest.hexdigest()


def files_of_model(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Give the files that a folder's digest covers, in no order."""
    above |= {folder.resolve()}
    for entry in folder.iterdir():
        if entry.is_file():
            yield entry
        elif entry.is_dir() and entry.name != "__pycache__" and entry.resolve() not in above:
            yield from files_of_model(entry, above)


def _digest_of_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
