"""How an attempt at a run ended, as a value, and what is kept of its stage then (driver)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Ending(StrEnum):
    """What ended an attempt before its result was published."""

    INTERRUPTED = "Ctrl-C, a signal, or the end of the process"
    NOT_WRITTEN = "result, stage or record could not be written"
    MACHINES = "processes or hosts failed, not the items"
    OVERTAKEN = "another run or driver was in the way"
    REFUSED = "the request, the scorer, the items or their number that failed"


#: What may go otherwise at the next attempt, although nobody changes the request.
_MAY_PASS: Final = frozenset({Ending.INTERRUPTED, Ending.NOT_WRITTEN, Ending.MACHINES})


def keeps_stage(ending: Ending, *, is_held: bool, has_chunks: bool) -> bool:
    """Whether the stage stays for another attempt at the run. The only place that decides it.

    Args:
        ending: how this attempt ended.
        is_held: whether the run waits until somebody publishes or discards it.
        has_chunks: whether something is scored that the next attempt can take up.
    """
    return is_held or (has_chunks and ending in _MAY_PASS)
