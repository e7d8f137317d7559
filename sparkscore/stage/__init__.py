"""The stage: the folder in which workers store a run's rows until they are published.

Runs on the driver and the workers.

This package imports neither Spark nor pydantic, because workers use it as well. Its names are imported on first access,
so that modules that do not need PyArrow, such as `sparkscore.stage.layout`, can be imported without loading it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

_MODULE_OF = {
    "REPORT_SCHEMA": "sparkscore.stage.report",
    "Decision": "sparkscore.stage.run_stage",
    "MiniBatchReport": "sparkscore.stage.report",
    "RunStage": "sparkscore.stage.run_stage",
    "StageFolder": "sparkscore.stage.stage_folder",
    "StagedFile": "sparkscore.stage.report",
    "TaskStage": "sparkscore.stage.run_stage",
    "read_reports": "sparkscore.stage.report",
}


def __getattr__(name: str) -> object:
    """Import a name of this package on first access.

    Raises:
        AttributeError: the package has no such name.
    """
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'sparkscore.stage' has no attribute '{name}'")
    return getattr(import_module(_MODULE_OF[name]), name)
