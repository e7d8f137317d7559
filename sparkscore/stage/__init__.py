"""The stage: where the files of a run wait until they are published (driver and worker).

Nothing here needs Spark or the configuration library, because workers write most of it.
"""

from __future__ import annotations

from sparkscore.stage.report import REPORT_SCHEMA, MiniBatchReport, StagedFile, read_reports
from sparkscore.stage.writer import StageSpec

__all__ = ["REPORT_SCHEMA", "MiniBatchReport", "StageSpec", "StagedFile", "read_reports"]
