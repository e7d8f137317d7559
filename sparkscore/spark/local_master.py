"""Read the URL of a local Spark master. Runs on the driver."""

from __future__ import annotations

import os
import re
from typing import Final

_LOCAL: Final = re.compile(r"local(?:\[|$)")
_WITH_SLOTS: Final = re.compile(r"local(?:\[(\d+|\*)(?:,\d+)?\])?$")


def is_local(master: str) -> bool:
    """Return whether the driver and all workers run on one machine: with ``local`` and ``local[...]``, not others."""
    return _LOCAL.match(master) is not None


def local_slots(master: str) -> int | None:
    """Return how many tasks run at the same time with a local master, or None if the master is not local.

    Args:
        master: the URL of the master, for example ``local[2,4]``. With ``local[*]``, it is the number of cores.
    """
    found = _WITH_SLOTS.match(master)
    if found is None:
        return None
    return (os.cpu_count() or 1) if found[1] == "*" else int(found[1] or 1)
