"""Start, resume, publish, discard and clean up runs, and read the records of earlier runs. Used on the driver.

Start reading at `sparkscore.run.pipeline.execute`, which calls the steps of a run in order.

Names of this package are imported on first access, so that `sparkscore.run.clean` can be imported without PySpark. The
functions ``prepare``, ``resume`` and ``clean`` are not among them: the modules that define them have the same names.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sparkscore.lazy_names import import_on_access
from sparkscore.run.log_filter import make_printable

if TYPE_CHECKING:
    from sparkscore.run.asked import RunOptions
    from sparkscore.run.held import discard, publish
    from sparkscore.run.listing import list_runs, show_run
    from sparkscore.run.pipeline import execute, score
    from sparkscore.run.prepare import PreparedRun
    from sparkscore.run.result import Run

# Here, because each module of this package logs messages, whether a run is recorded or not.
logging.getLogger("sparkscore").addFilter(make_printable)

__all__ = [
    "PreparedRun",
    "Run",
    "RunOptions",
    "discard",
    "execute",
    "list_runs",
    "publish",
    "score",
    "show_run",
]

__getattr__ = import_on_access(
    __name__,
    {
        "PreparedRun": "sparkscore.run.prepare",
        "Run": "sparkscore.run.result",
        "RunOptions": "sparkscore.run.asked",
        "discard": "sparkscore.run.held",
        "execute": "sparkscore.run.pipeline",
        "list_runs": "sparkscore.run.listing",
        "publish": "sparkscore.run.held",
        "score": "sparkscore.run.pipeline",
        "show_run": "sparkscore.run.listing",
    },
)
