"""Pack the sparkscore package as a ZIP archive, from which workers import it.

Runs on the driver.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import marshal
import zipfile
from collections.abc import Iterator
from importlib import metadata
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

_PACKAGE: Final = "sparkscore"
# All entries get the oldest time that a ZIP archive can store, so that equal modules always give an equal archive.
_SAME_TIME: Final = (1980, 1, 1, 0, 0, 0)
# With these flags, Python uses the bytecode without comparing it with the source. Times could not be compared, because
# all entries have the same one. Source: PEP 552.
_UNCHECKED_HASH: Final = (0b01).to_bytes(4, "little")
# Later versions of the marshal format depend on how often this process refers to a string.
_WITHOUT_REFERENCES: Final = 2
_SHOWN_DIGITS: Final = 16


def pack_package(folder: Path) -> Path:
    """Write the modules of the running sparkscore package into a ZIP archive, and return the path of the archive.

    The archive contains each module as source and as bytecode for the driver's version of Python. Workers with another
    version of Python use the source. The archive also contains a metadata file, from which `importlib.metadata` reads
    sparkscore's version. Other files, such as the templates of ``sparkscore new``, are left out.

    Args:
        folder: an existing folder for the archive. The file name contains a digest of the content, so it is different
            for each version of sparkscore.

    Raises:
        OSError: the archive cannot be written.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, source in sorted(_modules(files(_PACKAGE), _PACKAGE)):
            _add(archive, name, source)
            _add(archive, f"{name}c", _bytecode(name, source))
        _add(archive, *_metadata())
    content = buffer.getvalue()
    target = folder / f"{_PACKAGE}-{hashlib.sha256(content).hexdigest()[:_SHOWN_DIGITS]}.zip"
    target.write_bytes(content)
    return target


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _SAME_TIME), content, zipfile.ZIP_DEFLATED)


def _metadata() -> tuple[str, bytes]:
    """Return the name and the content of the archive's metadata file, which contains sparkscore's version."""
    try:
        version = metadata.version(_PACKAGE)
    except metadata.PackageNotFoundError:  # a folder or an archive on the import path, not installed
        version = "0"
    text = f"Metadata-Version: 2.1\nName: {_PACKAGE}\nVersion: {version}\n"
    return f"{_PACKAGE}-{version}.dist-info/METADATA", text.encode()


def _modules(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the names and sources of the modules in a package's folder, which may itself be in a ZIP archive."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _modules(entry, f"{name}/{entry.name}")
        elif entry.name.endswith(".py"):
            yield f"{name}/{entry.name}", entry.read_bytes()


def _bytecode(name: str, source: bytes) -> bytes:
    """Return the content of a module's ``.pyc`` file. Tracebacks will show `name` as the module's path."""
    code = compile(source, name, "exec", dont_inherit=True)
    head = importlib.util.MAGIC_NUMBER + _UNCHECKED_HASH + importlib.util.source_hash(source)
    return head + marshal.dumps(code, _WITHOUT_REFERENCES)
