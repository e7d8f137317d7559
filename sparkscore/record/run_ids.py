"""Generate a run id from the current time, or check one that the user chose. Runs on the driver."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError

_RUN_ID = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,127}")
# Words in partition columns that readers parse as numbers: Spark with Java's parseDouble, others with C's strtod.
_NUMBERS = {"nan", "inf", "infinity"}
# Names of files next to run folders and stage folders: Spark's own files, the records of queries, and locks.
_TAKEN = re.compile(
    r"spark-warehouse|spark\.log(\..*)?|queries\.jsonl(\..*)?|metastore_db|derby\.log|.*\.lock(\..*)?", re.IGNORECASE
)


def make_run_id(now: datetime | None = None) -> str:
    """Return a new run id of the form ``run-DATE-TIME-DIGITS``, with six random hexadecimal digits.

    >>> make_run_id(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))[:-6]
    'run-20260102-030405-'

    Args:
        now: the time, in UTC. Defaults to the current time.
    """
    return f"run-{(now or datetime.now(UTC)):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def check_run_id(run_id: str) -> str:
    """Check that a run id can be used as a folder name and as a partition value, and return it unchanged.

    Raises:
        ConfigError: the id has one of these faults:

            - It is not an ASCII letter followed by at most 127 ASCII letters, digits, ``_``, ``.`` or ``-``.
            - It ends with a full stop, which some stores drop.
            - It is a word such as ``NaN``, which is read as a number in a partition column.
            - It is the name of a lock or of one of Spark's own files.
    """
    if not is_run_id(run_id):
        raise ConfigError(
            code=ErrorCode.RUN_ID,
            what="the run id",
            got=f"'{run_id[:140]}'",
            expected="a letter, then up to 127 letters, digits, '_', '.' or '-', without a full stop or '.lock' at the "
            "end, and no name of a number or of Spark's own files",
            next_step="Choose another --run-id, or leave it out.",
        )
    return run_id


def is_run_id(run_id: str) -> bool:
    """Return whether a string is a valid run id."""
    is_taken = run_id.lower() in _NUMBERS or _TAKEN.fullmatch(run_id) is not None
    return _RUN_ID.fullmatch(run_id) is not None and not run_id.endswith(".") and not is_taken
