"""Define why a run may end before its result is published, and decide whether to keep its stage.

Runs on the driver.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Ending(StrEnum):
    """The reason why an execution of a run ended before its result was published."""

    INTERRUPTED = "Ctrl-C, a signal, or the end of the process"
    NOT_WRITTEN = "result, stage or record could not be written"
    MACHINES = "processes or hosts failed, not the items"
    OVERTAKEN = "another run changed the output, or another driver took the run over"
    OTHER_FORMAT = "another version of sparkscore wrote the stage in a format that this version does not read"
    REFUSED = "the request, the scorer or the items are wrong, or too many items failed"


#: Endings after which a run may succeed when it is resumed with the same request.
_MAY_PASS: Final = frozenset({Ending.INTERRUPTED, Ending.NOT_WRITTEN, Ending.MACHINES})


def keeps_stage(ending: Ending, *, is_held: bool, has_chunks: bool) -> bool:
    """Return whether to keep the stage of a run that ended, so that the run can be resumed or published.

    The stage is kept in any of these cases:

    - The run is held.
    - ``ending`` is `OTHER_FORMAT`.
    - There are finished chunks, and ``ending`` is `INTERRUPTED`, `NOT_WRITTEN` or `MACHINES`, so the run may succeed if
      it is resumed.

    Args:
        ending: why this execution of the run ended.
        is_held: whether the run is waiting to be published or discarded.
        has_chunks: whether the stage contains finished chunks, which a resumed run does not score again.
    """
    # This version cannot read a stage in a different format, and the error message says that nothing was removed.
    return is_held or ending is Ending.OTHER_FORMAT or (has_chunks and ending in _MAY_PASS)
