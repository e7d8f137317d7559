"""Read the objects of an S3 store with PyArrow. Runs on the driver and the workers.

The path of an object is a URI such as ``s3a://bucket/folder/a.parquet``, in which nothing is escaped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from typing import Any, BinaryIO, Final

import pyarrow.fs as pafs

#: What the path of each object begins with.
SCHEME: Final = "s3a://"
_CONNECT_S: Final = 10
_REQUEST_S: Final = 60
_TRIES: Final = 5
# The metadata of an object that change if it is written again.
_STATE: Final = ("ETag", "Last-Modified", "VersionId")
_LONGEST: Final = 200


@dataclass(frozen=True)
class Keys:
    """The credentials that the settings of a session contain. Their text shows none of them."""

    access: str = field(repr=False)
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class ObjectStore:
    """How to reach an S3 store. It is sent to the workers together with the function that they run.

    Attributes:
        endpoint: host of the store, and its port if there is one.
        scheme: ``https`` or ``http``.
        region: region for which requests are signed.
        is_path_style: whether the bucket is in the path of a request, not in its host.
        is_anonymous: whether requests are not signed.
        keys: the credentials, or None if each process finds its own: in its environment, in the files of AWS's command
            line, or in the role of its host.
    """

    endpoint: str
    scheme: str
    region: str
    is_path_style: bool = True
    is_anonymous: bool = False
    keys: Keys | None = field(default=None, repr=False)

    def file_system(self) -> pafs.S3FileSystem:
        """Return PyArrow's file system for this store, the same for each call in a process."""
        return _connect(self)

    def open(self, path: str) -> pafs.NativeFile:
        """Open an object to read any part of it. This sends a request for its metadata.

        Raises:
            OSError: the object does not exist or cannot be read; see `reason_of`.
        """
        return self.file_system().open_input_file(name_of(path))

    def state_of(self, path: str) -> str:
        """Return the state of an object; see `state_in`.

        Raises:
            OSError: the object does not exist or cannot be read; see `reason_of`.
        """
        with self.open(path) as opened:
            return state_in(opened)


@dataclass(frozen=True)
class ObjectFolder:
    """The objects directly in a folder of a store.

    Attributes:
        store: the store.
        path: the path of the folder.
    """

    store: ObjectStore
    path: str

    def names(self) -> list[str]:
        """Return the names of the objects, without the path of the folder."""
        found = self.store.file_system().get_file_info(pafs.FileSelector(name_of(self.path)))
        return [info.base_name for info in found if info.type == pafs.FileType.File]

    def open(self, name: str) -> BinaryIO:
        """Read an object as a whole."""
        with self.store.open(f"{self.path}/{name}") as opened:
            return BytesIO(opened.read())


def name_of(path: str) -> str:
    """Return bucket and key of an object, which PyArrow takes as its path.

    >>> name_of("s3a://bucket/a b/c.parquet")
    'bucket/a b/c.parquet'
    """
    return path.removeprefix(SCHEME)


def opened(path: str, store: ObjectStore | None) -> Any:
    """Return what PyArrow's readers of Parquet take as a file: a path, or an open object of a store."""
    return path if store is None else store.open(path)


def state_in(opened: pafs.NativeFile) -> str:
    """Return a text that is another as soon as the object is written again. This sends no request.

    Args:
        opened: the open object. Its state is that when it was opened.
    """
    found = {_text(key): _text(value) for key, value in (opened.metadata() or {}).items()}
    return " ".join([str(opened.size()), *(found.get(name, "") for name in _STATE)])


def size_in(state: str) -> int:
    """Return the size in bytes of an object whose state is given."""
    return int(state.partition(" ")[0])


def is_of_store(error: Exception) -> bool:
    """Return whether an error of PyArrow is the answer of a store, or says that the store did not answer."""
    return "AWS Error" in str(error)


def reason_of(error: Exception) -> str:
    """Return a short reason from an error that PyArrow raised, without the store's own text.

    >>> reason_of(OSError("When listing 'b': AWS Error ACCESS_DENIED during ListObjectsV2 operation: No (id 7)"))
    'AWS Error ACCESS_DENIED during ListObjectsV2 operation'
    """
    text = re.sub(r"\s+", " ", str(error))
    found = re.search(r"AWS Error .*? during \w+ operation", text)
    if found is None:
        return text[:_LONGEST].rstrip(". ")
    # A code of the store that the library does not know, such as ExpiredToken.
    code = re.search(r"ExceptionName: (\w{1,60})", text)
    return f"{found[0]} ({code[1]})" if code else found[0]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@lru_cache(maxsize=8)
def _connect(store: ObjectStore) -> pafs.S3FileSystem:
    keys = store.keys
    return pafs.S3FileSystem(
        access_key=None if keys is None else keys.access,
        secret_key=None if keys is None else keys.secret,
        session_token=None if keys is None else keys.token,
        anonymous=store.is_anonymous,
        region=store.region,
        scheme=store.scheme,
        # Without an endpoint, the environment of the process might name another store.
        endpoint_override=store.endpoint,
        force_virtual_addressing=not store.is_path_style,
        connect_timeout=_CONNECT_S,
        request_timeout=_REQUEST_S,
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=_TRIES),
    )
