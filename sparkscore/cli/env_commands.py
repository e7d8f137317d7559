"""Define the commands of ``sparkscore env`` and their options. Runs on the driver.

As in `sparkscore.cli.commands`, each command imports its implementation only when it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sparkscore.cli.manual import ManualCommand, ManualGroup
from sparkscore.cli.options import Assignments, Json

env_app = typer.Typer(cls=ManualGroup, rich_markup_mode=None)


@env_app.command("build", cls=ManualCommand)
def env_build(
    deployment: Annotated[Path, typer.Argument(metavar="DEPLOYMENT.yml", help="The deployment file.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", show_default=False, help="Folder for the archives (default: next to the run records)."
        ),
    ] = None,
    wheels: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Install from the wheels in this folder, without a network.")
    ] = None,
    assignments: Assignments = None,
    as_json: Json = False,
) -> int:
    """Build a deployment's Python environment as an archive, for the setting 'python.archive'.

    The requirements come from 'python.requirements', else from Azure's 'environment.conda_file', else from the MLflow
    model. An archive that was built earlier with the same requirements and Python version is reused. Run this command
    with the workers' Python version.
    """
    from sparkscore.cli.env_command import build_env

    return build_env(deployment, output, wheels, assignments or (), as_json=as_json)


@env_app.command("classes", cls=ManualCommand)
def env_classes(*, as_json: Json = False) -> int:
    """Archive Spark's classes, so that Java starts faster at each later command.

    Starts Spark once. The archive, about 200 MB in ~/.cache/sparkscore, is used by your local sessions while Java and
    Spark are the same. It can be removed at any time; SPARKSCORE_CLASS_ARCHIVE=off turns it off.
    """
    from sparkscore.cli.env_command import archive_classes

    return archive_classes(as_json=as_json)
