"""Check everything about a run that needs no Spark: deployment, script, model, run id (driver)."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final, Unpack

from sparkscore.config import Deployment, load_deployment, load_valid_sections, refuse_secrets_in_locations
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, Faults
from sparkscore.location import is_remote, local_path
from sparkscore.models import ModelDescription, ResolvedModel, resolve_model, resolve_models
from sparkscore.models.references import is_registry_reference
from sparkscore.models.resolve import find_model
from sparkscore.record.run_ids import make_run_id
from sparkscore.record.run_record import Part, RecordedModel, RecordedScript, blank
from sparkscore.record.run_store import RunStore
from sparkscore.record.runs_folder import open_run, read_record
from sparkscore.record.versions import git_commit_of
from sparkscore.redaction import remember_secrets, remember_values
from sparkscore.run.asked import Asked, RunOptions, asked_now
from sparkscore.run.no_code import check_model
from sparkscore.scripts.checking import check_script
from sparkscore.scripts.packing import LOG, PackedScript, different_files, pack_script
from sparkscore.sources import FailedItems
from sparkscore.sources.listing import check_locations

logger = logging.getLogger("sparkscore")

_SHOWN: Final = 5


@dataclass(frozen=True)
class PreparedRun:
    """A run whose request is valid and that has not begun.

    Attributes:
        deployment: the deployment with all options applied.
        source_name: the deployment file, as the record names it.
        script: the scoring script, packed; None where the model is scored without one.
        model: the model, if there is one.
        models: further models, which the script looks up by name.
        description: what the model is, where there is no script.
        folder: the run's folder; not made yet.
        git_commit: commit of the scoring script's folder.
        failed: the failed items of an earlier run, where only these are scored.
        request: what was asked for, as it is kept with the run.
        stores: MLflow's tracking store and registry, for scripts; empty where unknown.
    """

    deployment: Deployment
    source_name: str | None
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
        """The run's id."""
        return self.folder.run_id

    @property
    def scorer_name(self) -> str:
        """What scores, in words."""
        if self.script is not None:
            return f"scoring script '{self.script.name}'"
        return f"model '{self.lineage_model[0]}'"

    @property
    def lineage_model(self) -> tuple[str | None, str | None]:
        """Name and version that stand beside every prediction; several models are joined by a comma."""
        models = [self.model] if self.model is not None else self.models
        if not models:
            return None, None
        return ",".join(model.name for model in models), ",".join(model.version for model in models)

    def describe_models(self) -> dict[str, Part | list[RecordedModel]]:
        """Describe model, further models and script for the run record."""
        model = blank(RecordedModel) if self.model is None else RecordedModel.model_validate(self.model.describe())
        kind = None if self.description is None else self.description.model_format
        flavors = [] if self.description is None else list(self.description.flavors)
        script = blank(RecordedScript) if self.script is None else RecordedScript.model_validate(self.script.describe())
        return {
            "model": model.model_copy(update={"kind": kind, "flavors": flavors}),
            "models": [RecordedModel.model_validate(each.describe()) for each in self.models],
            "script": script,
        }

    def digests(self) -> dict[str, object]:
        """Give the digests that are part of the run's identity."""
        return {
            "script": self.script.sha256 if self.script else None,
            "model": self.model.sha256 if self.model else None,
            **({"models": [model.sha256 for model in self.models]} if self.models else {}),
        }

    @property
    def run_folder(self) -> Path:
        """The run's folder."""
        return self.folder.path


def prepare(deployment: str | Path | None, **options: Unpack[RunOptions]) -> PreparedRun:
    """Read and check a request. Runs on the driver, before Spark is needed; writes nothing.

    Args:
        deployment: path of the deployment file; None where the options say everything.
        **options: see `sparkscore.run.RunOptions`.

    Raises:
        ConfigError: the deployment or an option is wrong.
        ModelError: the model is not there, or cannot be used.
        ScoringScriptError: the script is not there, or cannot work.
    """
    return prepare_asked(asked_now(deployment, options), options.get("run_id"))


def prepare_asked(asked: Asked, run_id: str | None) -> PreparedRun:
    """Check a request; errors are those of `prepare`.

    Args:
        asked: the request.
        run_id: id of the run; made from the time when None.
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
    if faults.is_any:  # alone it is said by the run, whose record then tells of it
        faults.take(lambda: check_locations(loaded.input.location))
    faults.raise_all()
    return PreparedRun(
        deployment=loaded,
        source_name=asked.deployment,
        script=script,
        model=model,
        models=models or (),
        description=description,
        folder=folder,
        git_commit=None if script is None else git_commit_of(script.path.parent),
        request=asked.to_keep(folder.run_id),
        failed=failed,
        stores=asked.stores,
    )


def _load(asked: Asked) -> Deployment:
    """Load the deployment; where it is wrong, look for the files that it names all the same.

    Raises:
        ConfigError: with every fault that was found.
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
    """Find where the failed items of a run are.

    Raises:
        RunNotFoundError: there is no such run.
        ConfigError: it has no published quarantine, or is this run itself.
    """
    if run_id is None:
        return None
    if run_id == own_id:
        raise ConfigError(
            code=ErrorCode.RUN_ID_USED,
            what=f"run id '{run_id}'",
            got="the run whose failed items are to be scored",
            expected="an id of its own",
            next_step="Choose another --run-id, or leave it out.",
        )
    return failed_items(runs, run_id)


def failed_items(runs: Path, run_id: str) -> FailedItems:
    """Return the failed items of a run.

    Raises:
        RunNotFoundError: there is no such run.
        ConfigError: it has no published quarantine.
    """
    record = read_record(runs, run_id)
    failed = FailedItems.of(record)
    if failed is None:
        raise ConfigError(
            code=ErrorCode.NOTHING_FAILED,
            what=f"run '{run_id}'",
            got=f"state {record.state} and no quarantine",
            expected="a run whose failed items were tolerated and quarantined",
            next_step="Look at it with 'sparkscore runs show'; a run that failed is run again as a whole.",
        )
    return failed


def _refuse_overlap(deployment: Deployment) -> None:
    """Refuse an output inside the input, which the next run would score, and an input that the run would replace.

    The quarantine is an output as well.
    """
    output = deployment.output.location
    places = (output, quarantine_place(output)) if output and not is_remote(output) else ()
    for location, place in product(deployment.input.location, places):
        if not is_remote(location) and _overlap(location, local_path(place)):
            kind = "output" if place == output else "quarantine"
            raise ConfigError(
                code=ErrorCode.INPUT_OUTPUT_OVERLAP,
                what=f"input '{location}' and {kind} '{place}' lie in each other",
                expected="places apart from each other",
                next_step="Name another --output.",
            )


def _refuse_nan_in_arrow(deployment: Deployment) -> None:
    if deployment.input.nulls == "nan" and deployment.input.dtypes == "arrow":
        raise ConfigError(
            code=ErrorCode.INPUT_NULLS,
            what="'input.nulls: nan' beside 'input.dtypes: arrow'",
            got="columns that hold NULL itself, and the wish for NaN in its place",
            next_step="Remove one of the two lines.",
        )


def quarantine_place(output: str) -> str:
    """Name the quarantine's place: beside the output."""
    return f"{output.rstrip('/')}_quarantine"


def _overlap(location: str, output: Path) -> bool:
    place, output = local_path(location), _resolved(output)
    if glob.has_magic(location) and not place.exists():
        return any(fnmatch(str(path), str(place)) for path in (output, *output.parents))
    return output.is_relative_to(_resolved(place)) or _resolved(place).is_relative_to(output)


def _resolved(place: Path) -> Path:
    """Follow links; one that leads in a circle stays, for whoever opens it."""
    return Path(os.path.realpath(place))


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
    packed = pack_script(Path(code.code), code.scoring_script, _data_places(deployment, folder), logs)
    check_script(packed.path)
    _tell_code(packed, before["files"], folder.run_id)
    return packed


def _tell_code(packed: PackedScript, before: Mapping[str, str], run_id: str) -> None:
    """Say what of the code folder does not travel, and what in it is another than when the run began."""
    if packed.left_out:
        told = ", ".join(f"'{name}' ({why})" for name, why in sorted(packed.left_out.items())[:_SHOWN])
        logger.warning("code folder: left out: %s%s", told, _more(packed.left_out))
    if before and (changed := different_files(packed.files, before)):
        logger.warning(
            "code folder: %s%s not as when run '%s' began. What changes while a run goes on, such as a log, belongs "
            "elsewhere or under a name that begins with a dot",
            ", ".join(f"'{name}'" for name in changed[:_SHOWN]),
            _more(changed),
            run_id,
        )


def _more(names: Collection[str]) -> str:
    return f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""


def _data_places(deployment: Deployment, folder: RunStore) -> list[Path]:
    """Name where data comes from and goes to; with them the code's digest would differ from run to run."""
    places = [*deployment.input.location, deployment.output.location, deployment.output.stage]
    return [folder.runs, *(local_path(place) for place in places if place and not is_remote(place))]


def log_choices(deployment: Deployment, kind: str) -> None:
    """Say which values sparkscore chose, which keys have no meaning here, and which settings are not applied."""
    if chosen := deployment.chosen_defaults("files" if kind == "files" else "rows"):
        logger.info("defaults: %s", ", ".join(f"{key}={value}" for key, value in chosen.items()))
    if ignored := deployment.ignored_keys():
        logger.info("recorded, without a meaning outside Azure: %s", ", ".join(ignored))
    if unapplied := deployment.unapplied_settings():
        logger.warning("not applied yet: %s", ", ".join(f"{key}={value}" for key, value in unapplied.items()))
