"""`sparkscore env build`: make the environment that a deployment asks for (driver)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sparkscore.cli.reply import OK, print_json, shown_path, stdout_for_results, to_stdout
from sparkscore.config import parse_assignment
from sparkscore.models.deployment_env import build_deployment_env as build


def build_env(
    deployment: Path, output: Path | None, wheels: Path | None, assignments: Sequence[str] = (), *, as_json: bool
) -> int:
    """Build the environment, or find the one that was built before, and print the line that uses it.

    Args:
        deployment: the deployment file.
        output: where archives are kept; beside the runs when None.
        wheels: folder of wheels to install from.
        assignments: the `key=value` pairs of `--set`.
        as_json: whether the answer is JSON.

    Returns:
        the exit code.

    Raises:
        ConfigError: the deployment names no requirements, or they cannot be installed.
    """
    with stdout_for_results():
        built = build(deployment, output=output, wheels=wheels, settings=dict(map(parse_assignment, assignments)))
    if as_json:
        print_json(built.as_dict())
    else:
        place, size = shown_path(built.archive), built.archive.stat().st_size
        to_stdout(f"{place}  {size / 1e6:.1f} MB, the packages of {built.source}")
        to_stdout(f"use it with: --set python.archive={place}")
    return OK
