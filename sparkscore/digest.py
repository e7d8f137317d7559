"""Compute SHA-256 digests of files and folders, and the identities of runs. Runs on the driver and the workers."""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

_READ_BYTES = 1024 * 1024
# Folders that are not part of a model. lost+found is in the root folder of a file system, and only root can read it.
_NO_MODEL = frozenset({"__pycache__", "lost+found"})


def identity_of(parts: Mapping[str, object]) -> str:
    """Return the identity of a run: a string with the name and a short digest of each part of the run's request.

    Args:
        parts: the parts of the request that affect the result, by name.

    >>> identity_of({"model": "a", "input": 1})
    'input:6b86b273ff34fce1 model:ac8d8342bbb2362d'
    """
    texts = {name: json.dumps(part, sort_keys=True, default=str) for name, part in sorted(parts.items())}
    return " ".join(f"{name}:{hashlib.sha256(text.encode()).hexdigest()[:16]}" for name, text in texts.items())


def keyed_digest(secrets: object, key: bytes) -> str:
    """Return the HMAC-SHA256 digest of secrets.

    Unlike a plain digest, it does not let anyone without the key find a short password by brute force.
    """
    return hmac.new(key, json.dumps(secrets, sort_keys=True, default=str).encode(), hashlib.sha256).hexdigest()


def different_parts(identity: str, other: str) -> list[str]:
    """Return the sorted names of the parts in which the identities of two runs differ.

    >>> different_parts("input:1 model:2", "input:1 model:3")
    ['model']
    """
    first, second = ({name: value for name, _, value in map(_split, text.split())} for text in (identity, other))
    return sorted(name for name in first | second if first.get(name) != second.get(name))


def _split(part: str) -> tuple[str, str, str]:
    return part.partition(":")


def digest_of_path(path: Path) -> str:
    """Return the SHA-256 digest of a file or folder as a hexadecimal string.

    The digest of a folder is computed from the relative paths and digests of its files, sorted by path. Symbolic links
    are followed, except broken links and links to a parent folder. Folders named ``__pycache__`` or ``lost+found`` are
    ignored.

    Raises:
        OSError: the path cannot be read; or it is, or contains, a pipe, a socket or a device.
    """
    if not path.is_dir():
        _refuse_without_content(path)
        return sha256_of_file(path)
    digest = hashlib.sha256()
    for file in sorted(files_of_model(path)):
        digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_of_file(file)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def files_of_model(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Yield the files in a model folder that are part of its digest, in any order.

    `digest_of_path` describes which links and folders are ignored.

    Args:
        folder: the model folder.
        above: resolved paths of the parent folders. Links to one of them, or to `folder` itself, are ignored.

    Raises:
        OSError: the folder cannot be read, or contains a pipe, a socket or a device.
    """
    above |= {folder.resolve()}
    for entry in folder.iterdir():
        if entry.is_dir():
            if entry.name not in _NO_MODEL and entry.resolve() not in above:
                yield from files_of_model(entry, above)
        elif not _leads_nowhere(entry):
            _refuse_without_content(entry)
            yield entry


def _leads_nowhere(entry: Path) -> bool:
    return entry.is_symlink() and not entry.exists()


def _refuse_without_content(path: Path) -> None:
    """Raise an `OSError` for a pipe, a socket or a device, because reading it could block forever."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "a pipe, a socket or a device, not a file", str(path))


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 digest of a file as a hexadecimal string."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
