"""`sparkscore env build`: make the environment that a deployment asks for (driver)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sparkscore.cli.reply import OK, print_json, shown_path, stdout_for_results, to_stdout
from sparkscore.config import load_deployment, parse_assignment
from sparkscore.digest import digest_of_path
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.models import describe_model, resolve_model
from sparkscore.models.env_build import build_environment
from sparkscore.models.requirements import environment_of
from sparkscore.record.runs_folder import runs_folder


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
        loaded = load_deployment(deployment, dict(map(parse_assignment, assignments)))
        model = resolve_model(loaded.model)
        has_script = loaded.code_configuration is not None
        description = (
            None if has_script or model is None or loaded.model is None else describe_model(model, loaded.model)
        )
        spec = environment_of(loaded, model, description)
        if spec is None or not spec.requirements:
            raise ConfigError(
                code=ErrorCode.REQUIREMENTS_MISSING,
                what="the deployment says nothing of packages",
                expected="'python.requirements', 'environment.conda_file', or a model that recorded its packages",
                next_step="Name a requirements file in 'python.requirements'.",
            )
        # The folder of the runs is never part of a script's code.
        archive = build_environment(spec, output or runs_folder() / "environments", wheels)
    if as_json:
        print_json(
            {"archive": str(archive), "sha256": digest_of_path(archive), "requirements": list(spec.requirements)}
        )
    else:
        to_stdout(f"{shown_path(archive)}  {archive.stat().st_size / 1e6:.1f} MB, the packages of {spec.source}")
        to_stdout(f"use it with: --set python.archive={shown_path(archive)}")
    return OK
