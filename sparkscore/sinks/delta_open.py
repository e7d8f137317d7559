"""Open Delta tables with delta-rs, and only once as long as nobody commits to them. Runs on the driver."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkscore.sinks.delta_links import LOG

if TYPE_CHECKING:
    from deltalake import DeltaTable

# Characters that are lost because delta-rs parses a path as a URL.
_LOST_IN_PATHS: Final = frozenset("%\\")
# The result and the quarantine of a run. A table that is kept takes memory for the list of its files.
_MOST_KEPT: Final = 2


class CannotCommitError(Exception):
    """The files cannot be committed with delta-rs; nothing was committed.

    Attributes:
        reason: why the files cannot be committed, for the run record.
        is_conflict: whether another commit came in between, so that a new try may succeed.
    """

    def __init__(self, reason: str, *, is_conflict: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_conflict = is_conflict


class _LastCommit(NamedTuple):
    """The file of a table's last commit. A table that was removed and created again has another file."""

    version: int
    inode: int
    size_bytes: int
    changed_ns: int


_kept: dict[str, tuple[_LastCommit, DeltaTable]] = {}


def why_no_delta_rs(path: Path) -> str | None:
    """Return why delta-rs cannot open a Delta table at a path, whatever the table contains, or None if it can."""
    if importlib.util.find_spec("deltalake") is None:
        return "the package deltalake is not installed"
    uri = uri_of(path)
    if set(uri) & _LOST_IN_PATHS or not uri.isprintable():
        return "delta-rs cannot open the table's path"
    return None


def look_at_table(path: Path) -> DeltaTable | None:
    """Return a Delta table for checks, or None if there is no table yet.

    The table that was opened last is returned again if its last commit is still the last one of the log. Use
    `open_table` to write.

    Raises:
        CannotCommitError: delta-rs cannot open the table.
    """
    last, table = _kept.get(uri_of(path), (None, None))
    if last is not None and last == _last_commit(path, last.version):
        return table
    return open_table(path)


def open_table(path: Path) -> DeltaTable | None:
    """Open a Delta table with delta-rs, or return None if there is no table yet.

    Raises:
        CannotCommitError: delta-rs cannot open the table.
    """
    forget_table(path)
    if not has_commits(path):
        return None
    from deltalake import DeltaTable  # noqa: PLC0415 - optional, and slow to import
    from deltalake.exceptions import DeltaError  # noqa: PLC0415 - as above

    try:
        table = DeltaTable(uri_of(path))
    except (DeltaError, OSError, ValueError) as error:
        raise CannotCommitError(f"delta-rs cannot open the table: {text_of(error)}") from error
    last = _last_commit(path, table.version())
    if last is not None:
        while len(_kept) >= _MOST_KEPT:
            _kept.pop(next(iter(_kept), ""), None)
        _kept[uri_of(path)] = (last, table)
    return table


def forget_table(path: Path) -> None:
    """Let the next look at a table open it anew."""
    _kept.pop(uri_of(path), None)


def has_commits(table: Path) -> bool:
    """Return whether a folder has a Delta log with commits. A failed first commit may leave an empty log."""
    return any((table / LOG).glob("[0-9]*"))


def commit_file(table: Path, version: int) -> Path:
    """Return the path of the file with a version's commit."""
    return table / LOG / f"{version:020}.json"


def uri_of(path: Path) -> str:
    """Return the path of a table as delta-rs takes it."""
    return str(path.absolute())


def text_of(error: Exception) -> str:
    """Return the first line of an error's message, because delta-rs adds lines with color codes."""
    text = getattr(error, "strerror", None) or str(error)
    return text.splitlines()[0] if text else type(error).__name__


def _last_commit(path: Path, version: int) -> _LastCommit | None:
    """Return the file of a version's commit, or None if there is no such file, or a later commit."""
    try:
        found = commit_file(path, version).stat()
        if commit_file(path, version + 1).exists():
            return None
    except OSError:
        return None
    return _LastCommit(version, found.st_ino, found.st_size, found.st_mtime_ns)
