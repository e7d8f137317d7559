"""Read and write the names of places: local paths, URIs and Spark's spellings of both (driver and worker)."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:/")
_GLOB_CHARACTERS = re.compile(r"([\[\]{}*?\\])")


def check_working_directory() -> None:
    """Refuse to work in a folder that is gone: no relative path leads anywhere.

    Raises:
        ConfigError: it is.
    """
    try:
        Path.cwd()
    except OSError as error:
        raise ConfigError(
            code=ErrorCode.WORKING_DIRECTORY,
            what="the working directory",
            got=error.strerror or type(error).__name__,
            expected="a folder that is there",
            next_step="Change to a folder that is there, and ask again.",
        ) from error


def is_remote(location: str) -> bool:
    """Tell whether a location is a URI of a store other than the local file system.

    >>> is_remote("abfss://data@store/patients"), is_remote("file:/data"), is_remote("/data")
    (True, False, False)
    """
    return bool(_SCHEME.match(location)) and not location.startswith("file:")


def local_path(location: str) -> Path:
    """Give the local path that a location names; a ``file:`` URI is decoded.

    Raises:
        ConfigError: the location is on a remote store.
    """
    if is_remote(location):
        raise ConfigError(
            code=ErrorCode.LOCATION_REMOTE,
            what=f"location '{location}'",
            got=f"a '{urlsplit(location).scheme}' address",
            expected="a local path or a file: URI",
            next_step="Mount the store and name the mounted folder.",
        )
    return Path(plain_path(location))


def plain_path(uri: str) -> str:
    """Decode what Spark's ``_metadata.file_path`` says: a plain path for local files, a decoded URI otherwise.

    Source: Spark writes the path of ``_metadata.file_path`` percent-encoded, the ``path`` of binaryFile raw.

    >>> plain_path("file:/data/a%20b.csv"), plain_path("file:///data/a%23b.csv"), plain_path("s3://b/x%20y")
    ('/data/a b.csv', '/data/a#b.csv', 's3://b/x y')
    """
    if uri.startswith("file:"):
        return re.sub(r"^/+", "/", unquote(uri.removeprefix("file:")))
    return unquote(uri) if _SCHEME.match(uri) else uri


def spark_path(path: Path | str) -> str:
    r"""Escape a plain path for Spark's readers, which take every path for a glob pattern.

    >>> spark_path("/data/a[1].csv")
    '/data/a\\[1\\].csv'
    """
    return _GLOB_CHARACTERS.sub(r"\\\1", str(path))
