"""Everything that is done about a run: score it, resume it, publish it, discard it (driver).

`sparkscore.run.pipeline.execute` is the table of contents: a statement for each step of the data's path.
"""

from __future__ import annotations

from sparkscore.run.held import discard, publish
from sparkscore.run.pipeline import execute, score
from sparkscore.run.prepare import PreparedRun, RunOptions, prepare
from sparkscore.run.result import Run

__all__ = ["PreparedRun", "Run", "RunOptions", "discard", "execute", "prepare", "publish", "score"]
