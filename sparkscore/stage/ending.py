"""The reasons why a run ends before its result is published, and whether its stage is kept in that case (driver)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Ending(StrEnum):
    """Why an execution of a run ended before its result was published."""

    INTERRUPTED = "Ctrl-C, a signal, or the end of the process"
    NOT_WRITTEN = "result, stage or record could not be written"
    MACHINES = "processes or hosts failed, not the items"
    OVERTAKEN = "another run changed the output, or another driver took the run over"
    OTHER_FORMAT = "another version of sparkscore wrote the stage in a format that this version does not read"
    REFUSED = "the request, the scorer or the items are wrong, or too many items failed"


#: Endings after which the run may succeed if it is resumed, although nobody changes the request.
_MAY_PASS: Final = frozenset({Ending.INTERRUPTED, Ending.NOT_WRITTEN, Ending.MACHINES})


def keeps_stage(ending: Ending, *, is_held: bool, has_chunks: bool) -> bool:
    """Return whether the stage of a run that ended is kept, so that the run can be resumed or published.

    The stage is kept if the run is held, or if ``ending`` is `OTHER_FORMAT`. It is also kept if it has finished chunks
    and ``ending`` is `INTERRUPTED`, `NOT_WRITTEN` or `MACHINES`: the run may then succeed when it is resumed.

    Args:
        ending: why this execution of the run ended.
        is_held: whether the run waits until somebody publishes or discards it.
        has_chunks: whether the stage has finished chunks, which are not scored again if the run is resumed.
    """
    # This version cannot read a stage in a different format, and the error message says that nothing was removed.
    return is_held or ending is Ending.OTHER_FORMAT or (has_chunks and ending in _MAY_PASS)
