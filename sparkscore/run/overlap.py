"""Check whether an input and an output overlap, that is, whether one contains the other. Runs on the driver."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from fnmatch import fnmatch
from itertools import product
from pathlib import Path, PurePath
from typing import Final

from sparkscore.location import local_path

# Endings of the files that sparkscore and Delta write into an output.
_ENDINGS: Final = frozenset({"", ".bin", ".crc", ".json", ".lock", ".parquet"})

_Parts = tuple[str, ...]


def do_overlap(location: str, output: Path) -> bool:
    """Return whether an input location overlaps with an output.

    A path overlaps with the output if one of them contains the other. A glob overlaps if it matches an overlapping
    path, or if it could match a path that a run will create in the output.

    Args:
        location: the location of an input: a local path or glob.
        output: the folder of a table, which may not exist yet.
    """
    path, outputs = local_path(location), _resolved(output)
    pattern = Path(os.path.abspath(path))  # noqa: PTH100 - as the files are listed: Path.absolute() keeps '..'
    if not glob.has_magic(str(pattern)) or pattern.exists():
        return _is_one_in_other(_resolved(path), outputs)
    return _could_match(pattern, output) or any(
        _is_one_in_other({Path(os.path.realpath(match))}, outputs)
        for match in glob.iglob(str(pattern), recursive=True)  # noqa: PTH207 - the whole location is a pattern
    )


def _resolved(path: Path) -> set[Path]:
    """Return a path with symbolic links and ``..`` resolved, as a set of one or two paths.

    If ``..`` follows a link, it can mean the parent of the link or the parent of the link's target. The set then
    contains both paths.
    """
    # Path.resolve() may raise an error for a circular link. Here, the error comes later, when the path is opened.
    return {Path(os.path.realpath(each)) for each in (path, os.path.abspath(path))}  # noqa: PTH100 - see above


def _is_one_in_other(paths: set[Path], others: set[Path]) -> bool:
    return any(path.is_relative_to(other) or other.is_relative_to(path) for path, other in product(paths, others))


def _could_match(pattern: Path, output: Path) -> bool:
    """Return whether a glob could match the output, a folder above it, or a path inside it to which a run writes."""
    parts = pattern.parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    before = Path(*parts[:fixed])
    tables = {Path(os.path.abspath(output)), *_resolved(output)}  # noqa: PTH100 - a glob may match a link
    return any(
        start.is_relative_to(table)
        or any(not rest or rest == ("**",) for folder in table.parents for rest in _rests(start, parts[fixed:], folder))
        or any(not rest or _could_be_written(rest) for rest in _rests(start, parts[fixed:], table))
        for start, table in product({before, *_resolved(before)}, tables)
    )


def _rests(start: Path, parts: _Parts, folder: Path) -> Iterator[_Parts]:
    """Match a folder against the start of a glob, and yield the remaining parts of the glob for each possible match.

    Args:
        start: the folder before the first glob part that has a special character.
        parts: the parts of the glob after `start`.
        folder: the folder to match.
    """
    if folder.is_relative_to(start):
        yield from _rests_of(parts, folder.relative_to(start).parts)


def _rests_of(parts: _Parts, names: _Parts) -> Iterator[_Parts]:
    if not names:
        yield parts
    if parts[:1] == ("**",):
        yield from _rests_of(parts[1:], names)
    if names and parts[:1] == ("**",):
        yield from _rests_of(parts, names[1:])
    elif names and parts and fnmatch(names[0], parts[0]):
        yield from _rests_of(parts[1:], names[1:])


def _could_be_written(rest: _Parts) -> bool:
    """Return whether a glob relative to an output could match a file or folder that a run writes into the output."""
    first, ending = rest[0], PurePath(rest[0]).suffix
    # Partition folders contain '=', and other folders of runs and of Delta begin with '_'.
    is_ours = glob.has_magic(first) or first.startswith("_") or "=" in first
    # Models are copied into the stage, so files below the output may have any ending.
    return is_ours and (len(rest) > 1 or glob.has_magic(ending) or ending in _ENDINGS)
