"""Convert locations to local paths, and escape paths for Spark's readers. Runs on the driver and the workers."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:/")
_GLOB_CHARACTERS = re.compile(r"([\[\]{}*?\\])")


def check_working_directory() -> None:
    """Check that the working directory exists, because relative paths depend on it.

    Raises:
        ConfigError: the working directory was removed or cannot be read.
    """
    try:
        Path.cwd()
    except OSError as error:
        raise ConfigError(
            code=ErrorCode.WORKING_DIRECTORY,
            what="the working directory",
            got=error.strerror or type(error).__name__,
            expected="a folder that exists",
            next_step="Change to a folder that exists, and run the command again.",
        ) from error


def is_remote(location: str) -> bool:
    """Return whether a location is a URI outside the local file system.

    >>> is_remote("abfss://data@store/patients"), is_remote("file:/data"), is_remote("/data")
    (True, False, False)
    """
    return bool(_SCHEME.match(location)) and not location.startswith("file:")


def local_path(location: str) -> Path:
    """Convert a path or ``file:`` URI to a local path.

    Raises:
        ConfigError: the location is a URI outside the local file system.
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
    """Percent-decode a URI, for example from Spark's ``_metadata.file_path``. A ``file:`` URI becomes a local path.

    A path that is not a URI is returned unchanged.

    >>> plain_path("file:/data/a%20b.csv"), plain_path("file:///data/a%23b.csv"), plain_path("s3://b/x%20y")
    ('/data/a b.csv', '/data/a#b.csv', 's3://b/x y')
    """
    if uri.startswith("file:"):
        return re.sub(r"^/+", "/", unquote(uri.removeprefix("file:")))
    return unquote(uri) if _SCHEME.match(uri) else uri


def uri_of(path: str) -> str:
    """Return the text that `plain_path` turns into the given path: a URI if the path is one, otherwise the path itself.

    >>> uri_of("s3a://b/x%20y"), uri_of("/data/a%20b.csv")
    ('s3a://b/x%2520y', '/data/a%20b.csv')
    """
    return path.replace("%", quote("%")) if is_remote(path) else path


def folder_text(folder: Path) -> str:
    """Return the path of a folder as a text, with the two slashes that ``pathlib`` takes out of a URI.

    >>> folder_text(Path("s3a://bucket/in")), folder_text(Path("/data"))
    ('s3a://bucket/in', '/data')
    """
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*):/(?!/)", r"\1://", str(folder))


def spark_path(path: Path | str) -> str:
    r"""Escape the glob characters in a local path, because Spark's readers treat every path as a glob.

    >>> spark_path("/data/a[1].csv")
    '/data/a\\[1\\].csv'
    """
    return _GLOB_CHARACTERS.sub(r"\\\1", str(path))
