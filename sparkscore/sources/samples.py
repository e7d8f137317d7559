"""Find input files that changed during a run. Runs on the driver.

A file has changed if its size or modification time is different. If only its inode or change time is different, a
sample of its bytes is read and compared with the sample taken when the file was listed. This is because `chmod`, a hard
link or a remount may change the inode or change time without changing the bytes.

The sample of an object in a store is its size, its ETag, the time at which it was written, and its version.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError
from sparkscore.object_store import ObjectStore
from sparkscore.parquet.problems import unreadable_object
from sparkscore.plan import InputFile
from sparkscore.survey.each_file import read_each

# The total size of all samples, which takes about a second to read from a store. Each file gets an equal share,
# but at least _LEAST_BYTES. A file that is smaller than its share is read as a whole.
_ALL_BYTES: Final = 64 * 1024 * 1024
_LEAST_BYTES: Final = 8 * 1024
_BLOCK_BYTES: Final = 4 * 1024
_MOST_BLOCKS: Final = 64
_READ_BYTES: Final = 1024 * 1024
# Samples of at least this size in all are digested by several threads: 64 MiB take a core 75 ms.
_MANY_BYTES: Final = 8 * 1024 * 1024
_THREADS: Final = min(4, os.cpu_count() or 1)


def with_samples(files: Sequence[InputFile]) -> tuple[InputFile, ...]:
    """Return the files, each with the digest of a sample of its bytes.

    The sample is the whole file if it is small. Otherwise, it consists of blocks spread over the file. The digest is an
    empty string for a file that cannot be read.
    """
    share = _share(len(files))
    sample = partial(_with_sample, share=share)
    # Threads are no gain for small samples, nearly all of whose time is Python's.
    if share > _READ_BYTES and sum(min(share, file.size_bytes) for file in files) >= _MANY_BYTES:
        with ThreadPoolExecutor(_THREADS) as pool:
            return tuple(pool.map(sample, files))
    return tuple(read_each(sample, files))


def with_states(files: Sequence[InputFile], states: Sequence[str], store: ObjectStore) -> tuple[InputFile, ...]:
    """Return objects of a store, each with its state as its sample.

    Args:
        files: the objects.
        states: the state of each object, or an empty string for a state that is not known yet.
        store: the store.

    Raises:
        SourceError: the store cannot be asked for the state of an object.
    """
    lacking = [file for file, state in zip(files, states, strict=True) if not state]
    found = {file.path: state for file, state in zip(lacking, _states(lacking, store), strict=True)}
    return tuple(replace(file, sample=state or found[file.path]) for file, state in zip(files, states, strict=True))


def check_files_unchanged(files: Sequence[InputFile], store: ObjectStore | None = None) -> None:
    """Check that no file has changed since it was listed.

    A file has changed if its size or modification time is different. If only its inode or change time is different, a
    sample of its bytes is compared with the sample taken when the file was listed.

    Args:
        files: all files that were listed together, because the size of the samples depends on their number.
        store: the store that contains the files, or None if they are local.

    Raises:
        SourceError: a file has changed or no longer exists; or the store cannot be asked.
    """
    changed = _changed_files(files) if store is None else _changed_objects(files, store)
    if changed:
        raise SourceError(
            code=ErrorCode.INPUT_CHANGED,
            what=f"{len(changed)} input files, among them '{changed[0]}', changed while the run read them",
            expected="files that do not change during the run",
            next_step="Run again when the input is complete.",
        )


def _changed_files(files: Sequence[InputFile]) -> list[str]:
    share = _share(len(files))
    are_changed = read_each(partial(_is_changed, share=share), files)
    return [file.path for file, is_changed in zip(files, are_changed, strict=True) if is_changed]


def _changed_objects(files: Sequence[InputFile], store: ObjectStore) -> list[str]:
    found = zip(files, _states(files, store), strict=True)
    return [file.path for file, state in found if not state or state != file.sample]


def _states(files: Sequence[InputFile], store: ObjectStore) -> Iterator[str]:
    """Yield the state of each object. The state is an empty string if the object does not exist.

    Raises:
        SourceError: the store does not answer, or refuses to.
    """

    def state_of(file: InputFile) -> str:
        try:
            return store.state_of(file.path)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise unreadable_object(file.path, error) from error

    return read_each(state_of, files)


def _share(count: int) -> int:
    """Return the maximum size in bytes of each file's sample, given the number of files."""
    return max(_LEAST_BYTES, _ALL_BYTES // max(1, count))


def _with_sample(file: InputFile, share: int) -> InputFile:
    sample = _sample(file.path, file.size_bytes, share)
    # `dataclasses.replace` takes twice as long, and there may be 100,000 files.
    return InputFile(file.path, file.size_bytes, file.modified_ns, file.inode, file.changed_ns, sample)


def _is_changed(file: InputFile, share: int) -> bool:
    """Return whether a file has changed since it was listed, or can no longer be found."""
    try:
        status = os.stat(file.path)  # noqa: PTH116 - a Path takes as long as the call, and there may be 100,000 files
    except OSError:
        return True
    if (status.st_size, status.st_mtime_ns) != (file.size_bytes, file.modified_ns):
        return True
    if (status.st_ino, status.st_ctime_ns) == (file.inode, file.changed_ns):
        return False
    return _sample(file.path, file.size_bytes, share) != file.sample


def _sample(path: str, size: int, share: int) -> str:
    """Return the digest of a sample of a file's bytes, or an empty string if the file cannot be read.

    Args:
        path: the path of the file.
        size: the size of the file in bytes.
        share: the maximum size of the sample in bytes.
    """
    digest = hashlib.sha256()
    try:
        # There may be 100,000 files, and opening a file object would double the time for each.
        descriptor = os.open(path, os.O_RDONLY)
        try:
            for start, length in _blocks(size, share):
                digest.update(os.pread(descriptor, length, start))
        finally:
            os.close(descriptor)
    except OSError:
        return ""
    return digest.hexdigest()


def _blocks(size: int, share: int) -> Iterable[tuple[int, int]]:
    """Return the start and length of each block of a sample.

    A sample has at most `share` bytes. If the file is no larger than that, the blocks cover the whole file. Otherwise,
    they are spread from its start to its end.

    >>> list(_blocks(100_000, 8192))
    [(0, 4096), (95904, 4096)]
    """
    if size <= share:
        # Python allocates as many bytes as it is asked for, which takes longer for a MiB than reading a small file.
        return [(start, min(_READ_BYTES, size - start)) for start in range(0, size, _READ_BYTES)]
    count = min(_MOST_BLOCKS, share // _BLOCK_BYTES)
    length = share // count
    return ((number * (size - length) // (count - 1), length) for number in range(count))
