"""Batch scoring on Apache Spark: score files and tables with a model or a scoring script, and write one table.

Public names are imported on first access, so that workers can import `sparkscore.worker` without PySpark.
"""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING

from sparkscore.lazy_names import import_on_access

if TYPE_CHECKING:
    __version__: str
    from sparkscore.error_codes import ErrorCode
    from sparkscore.errors import SparkscoreError
    from sparkscore.models.deployment_env import build_env
    from sparkscore.models.show import show_model
    from sparkscore.run import Run, discard, list_runs, publish, score, show_run
    from sparkscore.run.clean import clean
    from sparkscore.run.resume import resume
    from sparkscore.spark.session import local_session
    from sparkscore.sql import register_function

__all__ = [
    "ErrorCode",
    "Run",
    "SparkscoreError",
    "__version__",
    "build_env",
    "clean",
    "discard",
    "list_runs",
    "local_session",
    "publish",
    "register_function",
    "resume",
    "score",
    "show_model",
    "show_run",
]

# On a worker to which Spark sent this package, its path is relative to the working directory. A scoring script may
# change that directory, so the path is made absolute here.
__path__ = [os.path.abspath(folder) for folder in __path__]  # noqa: PTH100 - pathlib is imported by few modules

_import_public_name = import_on_access(
    __name__,
    {
        "ErrorCode": "sparkscore.error_codes",
        "Run": "sparkscore.run",
        "SparkscoreError": "sparkscore.errors",
        "build_env": "sparkscore.models.deployment_env",
        "clean": "sparkscore.run.clean",
        "discard": "sparkscore.run",
        "list_runs": "sparkscore.run",
        "local_session": "sparkscore.spark.session",
        "publish": "sparkscore.run",
        "register_function": "sparkscore.sql",
        "resume": "sparkscore.run.resume",
        "score": "sparkscore.run",
        "show_model": "sparkscore.models.show",
        "show_run": "sparkscore.run",
    },
)


def __getattr__(name: str) -> object:
    """Import a public name of this package on first access.

    ``__version__`` is read from the metadata of the installed package.

    Raises:
        AttributeError: the package has no such public name.
        MissingDependencyError: the module of that name needs a package that is not installed, such as PySpark.
    """
    if name == "__version__":
        # Read on demand: a worker's child process may have this package without its metadata.
        from importlib.metadata import version  # noqa: PLC0415 - takes as long to import as the rest of --help

        return version("sparkscore")
    try:
        return _import_public_name(name)
    except ModuleNotFoundError as error:
        from sparkscore.errors import named  # noqa: PLC0415 - no other name needs it

        known = named(error)
        if known is error:
            raise
        raise known from error
