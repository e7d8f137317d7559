"""Start, resume, publish, discard and clean up runs, and read the records of earlier runs. Used on the driver.

Start reading at `sparkscore.run.pipeline.execute`, which calls the steps of a run in order.
"""

from __future__ import annotations

from sparkscore.run.asked import RunOptions
from sparkscore.run.clean import clean
from sparkscore.run.held import discard, publish
from sparkscore.run.listing import list_runs, show_run
from sparkscore.run.pipeline import execute, score
from sparkscore.run.prepare import PreparedRun, prepare
from sparkscore.run.result import Run
from sparkscore.run.resume import resume

__all__ = [
    "PreparedRun",
    "Run",
    "RunOptions",
    "clean",
    "discard",
    "execute",
    "list_runs",
    "prepare",
    "publish",
    "resume",
    "score",
    "show_run",
]
