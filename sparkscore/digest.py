"""Take the SHA-256 of a file or a folder, on which driver and workers must agree, and the identity of a run."""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

_READ_BYTES = 1024 * 1024
# What a file system keeps at its root, for its administrator alone, is no part of a model.
_NO_MODEL = frozenset({"__pycache__", "lost+found"})


def identity_of(parts: Mapping[str, object]) -> str:
    """Give the identity of a run: a digest of each part that decides its result, by name.

    >>> identity_of({"model": "a", "input": 1})
    'input:6b86b273ff34fce1 model:ac8d8342bbb2362d'
    """
    texts = {name: json.dumps(part, sort_keys=True, default=str) for name, part in sorted(parts.items())}
    return " ".join(f"{name}:{hashlib.sha256(text.encode()).hexdigest()[:16]}" for name, text in texts.items())


def keyed_digest(secrets: object, key: bytes) -> str:
    """Give a digest of secrets that tells nothing to those who lack the key, not even by trying all short passwords."""
    return hmac.new(key, json.dumps(secrets, sort_keys=True, default=str).encode(), hashlib.sha256).hexdigest()


def different_parts(identity: str, other: str) -> list[str]:
    """Name the parts in which two identities differ.

    >>> different_parts("input:1 model:2", "input:1 model:3")
    ['model']
    """
    ours, theirs = ({name: value for name, _, value in map(_cut, text.split())} for text in (identity, other))
    return sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name))


def _cut(part: str) -> tuple[str, str, str]:
    return part.partition(":")


def digest_of_path(path: Path) -> str:
    """Give the SHA-256 of a file, or of a folder: of its files' relative paths and digests, in the paths' order.

    Folders that are links belong to it; a link that leads in a circle or nowhere is passed over, and so are caches
    of Python and ``lost+found``.

    Raises:
        OSError: it cannot be read, or there is something in it that has no content, such as a pipe.
    """
    if not path.is_dir():
        _refuse_without_content(path)
        return sha256_of_file(path)
    digest = hashlib.sha256()
    for file in sorted(files_of_model(path)):
        digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_of_file(file)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def files_of_model(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Give the files that a folder's digest covers, in no order.

    Raises:
        OSError: as `digest_of_path`.
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
    """Refuse a pipe, which would be waited for without end, a socket and a device."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "a pipe, a socket or a device, not a file", str(path))


def sha256_of_file(path: Path) -> str:
    """Take the SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
