"""The stage: the folder in which workers store a run's rows until they are published.

Runs on the driver and the workers.

This package imports neither Spark nor pydantic, because workers use it as well.
"""

from __future__ import annotations

from sparkscore.stage.report import REPORT_SCHEMA, MiniBatchReport, StagedFile, read_reports
from sparkscore.stage.run_stage import Decision, RunStage, TaskStage
from sparkscore.stage.stage_folder import StageFolder

__all__ = [
    "REPORT_SCHEMA",
    "Decision",
    "MiniBatchReport",
    "RunStage",
    "StageFolder",
    "StagedFile",
    "TaskStage",
    "read_reports",
]
