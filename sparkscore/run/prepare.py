"""Check everything about a run that needs no Spark: deployment, script, model, run id (driver)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sparkscore.config import Deployment, load_deployment
from sparkscore.errors import ConfigError
from sparkscore.lineage import git_commit_of
from sparkscore.models import ResolvedModel, resolve_model
from sparkscore.runlog import RunFolder, make_run_id, runs_folder
from sparkscore.scorers.script_check import check_script
from sparkscore.scorers.script_package import PackedScript, pack_script

logger = logging.getLogger("sparkscore")

OneOrMore = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class PreparedRun:
    """A run whose request is valid and that has not begun.

    Attributes:
        deployment: the deployment with all options applied.
        source_name: the deployment file, as the record names it.
        script: the scoring script, packed.
        model: the model, if there is one.
        folder: the run's folder; not made yet.
        git_commit: commit of the scoring script's folder.
    """

    deployment: Deployment
    source_name: str | None
    script: PackedScript
    model: ResolvedModel | None
    folder: RunFolder
    git_commit: str | None

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.folder.run_id

    def describe_model(self) -> dict[str, str | None]:
        """Describe the model for the run record."""
        if self.model is None:
            return {"name": None, "version": None, "sha256": None}
        return dict(self.model.describe())

    @property
    def run_folder(self) -> Path:
        """The run's folder."""
        return self.folder.path


def prepare(  # noqa: PLR0913 - the options of the command line, by name
    deployment: str | Path | None,
    *,
    input: OneOrMore | None = None,  # noqa: A002 - the name that users know from the file and the command line
    output: str | Path | None = None,
    input_format: str | None = None,
    output_format: str | None = None,
    mode: str | None = None,
    partition_by: OneOrMore | None = None,
    run_id: str | None = None,
    runs: str | Path | None = None,
    settings: Mapping[str, object] | None = None,
) -> PreparedRun:
    """Read and check a request. Runs on the driver, before Spark is needed; writes nothing.

    Args:
        deployment: path of the deployment file.
        input: a location or several; a folder, glob, file or table.
        output: location of the result.
        input_format: ``files``, ``parquet``, ``csv``, ``json`` or ``delta``.
        output_format: ``delta`` or ``parquet``.
        mode: ``append``, ``overwrite`` or ``error``.
        partition_by: partition column or columns of the result.
        run_id: id of the run; made from the time when absent.
        runs: folder of the run records.
        settings: any other setting by its dotted name, for example ``{"settings.mini_batch_size": 5}``.

    Raises:
        ConfigError: the deployment or an option is wrong.
        ModelNotFoundError: the model is not there.
        ScoringScriptError: the script is not there, or cannot work.
    """
    overrides = {
        "input.location": _texts(input),
        "output.location": None if output is None else str(output),
        "input.format": input_format,
        "output.format": output_format,
        "output.mode": mode,
        "output.partition_by": _texts(partition_by),
        **(settings or {}),
    }
    loaded = load_deployment(None if deployment is None else Path(deployment), overrides)
    script = _script_of(loaded)
    return PreparedRun(
        deployment=loaded,
        source_name=None if deployment is None else str(deployment),
        script=script,
        model=resolve_model(loaded.model),
        folder=RunFolder(runs_folder(runs), run_id or make_run_id()),
        git_commit=git_commit_of(script.path.parent),
    )


def _texts(value: OneOrMore | None) -> list[str] | None:
    if value is None:
        return None
    return [str(value)] if isinstance(value, (str, Path)) else [str(item) for item in value]


def _script_of(deployment: Deployment) -> PackedScript:
    code = deployment.code_configuration
    if code is None:
        raise ConfigError(
            code="SCRIPT_MISSING",
            what="the deployment names no scoring script",
            expected="code_configuration: {code: FOLDER, scoring_script: FILE.py}",
            next_step="Add it to the deployment file.",
        )
    packed = pack_script(Path(code.code), code.scoring_script)
    check_script(packed.path)
    return packed


def log_choices(deployment: Deployment, kind: str) -> None:
    """Say which values sparkscore chose, which keys have no meaning here, and which settings are not applied."""
    chosen = deployment.chosen_defaults("files" if kind == "files" else "rows")
    logger.info("defaults: %s", ", ".join(f"{key}={value}" for key, value in chosen.items()))
    if ignored := deployment.ignored_keys():
        logger.info("recorded, without a meaning outside Azure: %s", ", ".join(ignored))
    if unapplied := deployment.unapplied_settings():
        listed = ", ".join(f"{key}={value}" for key, value in unapplied.items())
        logger.warning("not applied yet: %s. Any failed item fails the run, and nothing is tried again.", listed)
