"""Check a run's deployment, script, model and run id without Spark. Runs on the driver."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final, Unpack

from sparkscore.config import Deployment, ItemType, load_deployment, load_valid_sections, refuse_secrets_in_locations
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, Faults
from sparkscore.location import is_remote, local_path
from sparkscore.models import ModelDescription, ResolvedModel, resolve_model, resolve_models
from sparkscore.models.references import is_registry_reference
from sparkscore.models.resolve import find_model
from sparkscore.record.listing import read_record
from sparkscore.record.run_ids import make_run_id
from sparkscore.record.run_record import Part, RecordedModel, RecordedScript, blank
from sparkscore.record.run_store import RunStore
from sparkscore.record.runs_folder import open_run
from sparkscore.record.versions import git_commit_of
from sparkscore.redaction import remember_secrets, remember_values
from sparkscore.run.asked import RunOptions, UncheckedRequest, new_request
from sparkscore.run.no_code import check_model
from sparkscore.run.overlap import do_overlap
from sparkscore.scripts.checking import check_script
from sparkscore.scripts.packing import LOG, PackedScript, different_files, pack_script
from sparkscore.sources import FailedItems
from sparkscore.sources.listing import check_locations

logger = logging.getLogger("sparkscore")

_SHOWN: Final = 5


@dataclass(frozen=True)
class PreparedRun:
    """A run whose request has been checked, so that it can be executed.

    Attributes:
        deployment: the deployment with all options applied.
        deployment_name: path of the deployment file as the caller wrote it, or None if there is no deployment file.
        script: the packed scoring script, or None if the model is used without a script.
        model: the resolved model, or None if the script needs no model.
        models: further models, which the script looks up by name.
        description: format and signature of the model, or None if there is a script.
        folder: the run's folder, which may not exist yet.
        git_commit: git commit of the scoring script's folder, with ``-dirty`` if files differ from the commit. None if
            there is no script or no commit.
        request: the request as stored with the run. Empty if it may contain a secret.
        failed: a description of an earlier run's failed items, or None if the run scores a whole input.
        stores: URIs of MLflow's tracking store and model registry, for scripts. An unknown URI is an empty string.
    """

    deployment: Deployment
    deployment_name: str | None
    script: PackedScript | None
    model: ResolvedModel | None
    models: tuple[ResolvedModel, ...]
    description: ModelDescription | None
    folder: RunStore
    git_commit: str | None
    request: Mapping[str, Any] = field(default_factory=dict)
    failed: FailedItems | None = None
    stores: tuple[str, str] = ("", "")

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.folder.run_id

    @property
    def scorer_name(self) -> str:
        """The name of the scoring script or model, for messages."""
        if self.script is not None:
            return f"scoring script '{self.script.name}'"
        return f"model '{self.lineage_model[0]}'"

    @property
    def lineage_model(self) -> tuple[str | None, str | None]:
        """The model's name and version for the lineage columns of the result.

        If a script has no main model but looks up models by name, the names of these models are joined with commas, and
        their versions likewise. Without any model, both values are None.
        """
        models = [self.model] if self.model is not None else self.models
        if not models:
            return None, None
        return ",".join(model.name for model in models), ",".join(model.version for model in models)

    def describe_models(self) -> dict[str, Part | list[RecordedModel]]:
        """Return the run record's entries about the model, further models and the script."""
        model = blank(RecordedModel) if self.model is None else RecordedModel.model_validate(self.model.describe())
        model_format = None if self.description is None else self.description.model_format
        flavors = [] if self.description is None else list(self.description.flavors)
        script = blank(RecordedScript) if self.script is None else RecordedScript.model_validate(self.script.describe())
        return {
            "model": model.model_copy(update={"kind": model_format, "flavors": flavors}),
            "models": [RecordedModel.model_validate(each.describe()) for each in self.models],
            "script": script,
        }

    def digests(self) -> dict[str, object]:
        """Return the digests of the script and the models, which are part of the run's identity."""
        return {
            "script": self.script.sha256 if self.script else None,
            "model": self.model.sha256 if self.model else None,
            **({"models": [model.sha256 for model in self.models]} if self.models else {}),
        }

    @property
    def run_folder(self) -> Path:
        """Path of the run's folder."""
        return self.folder.path


def prepare(deployment: str | Path | None, **options: Unpack[RunOptions]) -> PreparedRun:
    """Check the request for a new run, and return it as a `PreparedRun` that can be executed.

    Runs on the driver, does not need Spark, and writes nothing into the runs folder. A model in MLflow's registry is
    downloaded.

    Args:
        deployment: path of the deployment file. None if the option ``model`` is given instead, or if the option
            ``only_failed`` names a run whose request is used again.
        **options: the options of the run, see `sparkscore.run.RunOptions`.

    Raises:
        ConfigError: the deployment or an option is wrong, or the run given by ``only_failed`` has no published
            quarantine.
        RunNotFoundError: ``only_failed`` names a run that does not exist, or whose stored request is needed but
            missing.
        ModelError: the model does not exist or cannot be used.
        MissingDependencyError: a package that the model needs on the driver is not installed.
        ScoringScriptError: the script cannot be used, for example because it does not exist, is not valid Python, or
            has no function ``run(mini_batch)``.
    """
    return prepare_request(new_request(deployment, options), options.get("run_id"))


def prepare_request(asked: UncheckedRequest, run_id: str | None) -> PreparedRun:
    """Check a request, and return it as a `PreparedRun` that can be executed. Raises the same errors as `prepare`.

    Args:
        asked: the request.
        run_id: id of the run. Generated if None.
    """
    runs = asked.runs
    failed = _failed_items(runs, asked.options.get("only_failed"), run_id)
    loaded = _load(asked)
    remember_secrets(dict(os.environ))
    remember_values(loaded.secrets())
    refuse_secrets_in_locations(loaded.chosen())
    faults = Faults()
    faults.take(lambda: _refuse_overlap(loaded))
    faults.take(lambda: _refuse_nan_in_arrow(loaded))
    folder = faults.take(lambda: _own_folder(runs, run_id)) or open_run(runs, make_run_id())
    script = faults.take(lambda: _script_of(loaded, folder))
    model = faults.take(lambda: resolve_model(loaded.model))
    models = faults.take(lambda: resolve_models(loaded.models, model))
    description = None
    if loaded.code_configuration is None and model is not None:
        description = faults.take(partial(check_model, loaded, model))
    if faults.is_any:  # If only the input is missing, the run itself raises the error, so that it has a record.
        faults.take(lambda: check_locations(loaded.input.location))
    faults.raise_all()
    return PreparedRun(
        deployment=loaded,
        deployment_name=asked.deployment,
        script=script,
        model=model,
        models=models or (),
        description=description,
        folder=folder,
        git_commit=None if script is None else git_commit_of(script.path.parent),
        request=asked.to_store(folder.run_id),
        failed=failed,
        stores=asked.stores,
    )


def _load(asked: UncheckedRequest) -> Deployment:
    """Return the deployment of a request, with the request's options applied.

    If a setting is wrong, the script and the model path are checked as well, so that all problems are reported in one
    error. A model in MLflow's registry is not looked up.
    """
    file, overrides = asked.file, asked.overrides()
    try:
        return load_deployment(file, overrides, asked.folder)
    except ConfigError as error:
        faults = Faults(error)
        model, code = load_valid_sections(file, overrides, asked.folder)
        if code is not None:
            faults.take(lambda: check_script(pack_script(Path(code.code), code.scoring_script).path))
        if model is not None and not is_registry_reference(model.path):
            faults.take(lambda: find_model(model.path))
        faults.raise_all()
        raise


def _own_folder(runs: Path, run_id: str | None) -> RunStore:
    folder = open_run(runs, run_id or make_run_id())
    folder.refuse_foreign()
    return folder


def _failed_items(runs: Path, run_id: str | None, own_id: str | None) -> FailedItems | None:
    """Return a description of the failed items that the run will score again, or None if `run_id` is None.

    Raises an error if the run in which the items failed has no published quarantine, or is the run being prepared.

    Args:
        runs: the runs folder.
        run_id: the value of ``only_failed``: the id of the run in which the items failed.
        own_id: id of the run being prepared, or None if the caller did not choose one.
    """
    if run_id is None:
        return None
    if run_id == own_id:
        raise ConfigError(
            code=ErrorCode.RUN_ID_USED,
            what=f"run id '{run_id}'",
            got="the run whose failed items are to be scored",
            expected="a new id",
            next_step="Choose another --run-id, or leave it out.",
        )
    return failed_items(runs, run_id)


def failed_items(runs: Path, run_id: str) -> FailedItems:
    """Return a description of a run's failed items, such as the location and the columns of the quarantine table.

    The description is built from the run record. The quarantine table itself is not read.

    Raises:
        RunNotFoundError: there is no such run, or its record cannot be read.
        ConfigError: the record contains no quarantine table, or the run id is not valid.
    """
    record = read_record(runs, run_id)
    failed = FailedItems.of(record)
    if failed is None:
        raise ConfigError(
            code=ErrorCode.NOTHING_FAILED,
            what=f"run '{run_id}'",
            got=f"state {record.state} and no quarantine",
            expected="a run whose failed items were tolerated and quarantined",
            next_step="See its record with 'sparkscore runs show'. If the run failed, run it again as a whole.",
        )
    return failed


def _refuse_overlap(deployment: Deployment) -> None:
    """Raise an error if an input overlaps with the output or the quarantine.

    Paths overlap if one contains the other. For globs, see `do_overlap`. Remote locations are not compared.
    """
    # An output inside the input would be read by the next run. A run that overwrites could remove an input inside the
    # output.
    output = deployment.output.location
    written = (output, quarantine_beside(output)) if output and not is_remote(output) else ()
    for location, table in product(deployment.input.location, written):
        if not is_remote(location) and do_overlap(location, local_path(table)):
            raise ConfigError(
                code=ErrorCode.INPUT_OUTPUT_OVERLAP,
                what=f"input '{location}' and {'output' if table == output else 'quarantine'} '{table}' overlap",
                expected="separate folders",
                next_step="Name another --output.",
            )


def _refuse_nan_in_arrow(deployment: Deployment) -> None:
    if deployment.input.nulls == "nan" and deployment.input.dtypes == "arrow":
        raise ConfigError(
            code=ErrorCode.INPUT_NULLS,
            what="'input.nulls: nan' together with 'input.dtypes: arrow'",
            got="Arrow columns, which hold NULL itself, and NaN for NULL",
            next_step="Remove one of the two lines.",
        )


def quarantine_beside(output: str) -> str:
    """Return the location of an output's quarantine table: the output's location with the suffix ``_quarantine``."""
    return f"{output.rstrip('/')}_quarantine"


def _script_of(deployment: Deployment, folder: RunStore) -> PackedScript | None:
    code = deployment.code_configuration
    if code is None:
        if deployment.model is None:
            raise ConfigError(
                code=ErrorCode.NOTHING_SCORES,
                what="the run has neither a model nor a scoring script",
                expected="--model REFERENCE, or a deployment with 'model' or 'code_configuration'",
                next_step="Name a model with --model, or give a deployment file ('sparkscore new DIR' writes one).",
            )
        return None
    before = folder.read_code()
    logs = [name for name, why in before["left_out"].items() if why == LOG]
    packed = pack_script(Path(code.code), code.scoring_script, _data_folders(deployment, folder), logs)
    check_script(packed.path)
    _log_code(packed, before["files"], folder.run_id)
    return packed


def _log_code(packed: PackedScript, before: Mapping[str, str], run_id: str) -> None:
    """Log which files of the code folder are left out, such as logs, and which have changed since the last execution.

    Added and removed files count as changed. If there are many files, only some are listed.

    Args:
        packed: the current code folder.
        before: digest of each file at the run's last execution, by name. Empty if there was none.
        run_id: id of the run, for the message.
    """
    if packed.left_out:
        listed = ", ".join(f"'{name}' ({why})" for name, why in sorted(packed.left_out.items())[:_SHOWN])
        logger.warning("code folder: left out: %s%s", listed, _more(packed.left_out))
    if before and (changed := different_files(packed.files, before)):
        logger.warning(
            "code folder: %s%s changed since run '%s' began. Keep files that change during a run, such as logs, in "
            "another folder, or give them names that begin with a dot",
            ", ".join(f"'{name}'" for name in changed[:_SHOWN]),
            _more(changed),
            run_id,
        )


def _more(names: Collection[str]) -> str:
    return f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""


def _data_folders(deployment: Deployment, folder: RunStore) -> list[Path]:
    """Return the local paths of the input, the output, the ``output.stage`` folder and the runs folder.

    Files at these paths are not treated as code, even if they are inside the code folder.
    """
    # If these files counted as code, the code digest could change with each run.
    locations = [*deployment.input.location, deployment.output.location, deployment.output.stage]
    return [folder.runs, *(local_path(location) for location in locations if location and not is_remote(location))]


def log_choices(deployment: Deployment, counted: ItemType) -> None:
    """Log defaults that affect the result, keys that only Azure ML uses, and settings without effect in this version.

    Args:
        deployment: the deployment.
        counted: what a number in ``mini_batch_size`` counts for this input: ``files`` or ``rows``.
    """
    if chosen := deployment.chosen_defaults(counted):
        logger.info("default settings: %s", ", ".join(f"{key}={value}" for key, value in chosen.items()))
    if ignored := deployment.ignored_keys():
        logger.info("keys that only Azure ML uses, recorded and not applied: %s", ", ".join(ignored))
    if unapplied := deployment.unapplied_settings():
        logger.warning(
            "settings that are recorded, but not applied yet: %s",
            ", ".join(f"{key}={value}" for key, value in unapplied.items()),
        )
