"""What a run is asked for: now, as it was before, or again for what failed in another run (driver)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypedDict

from sparkscore.config import dotted, hold_secrets, settings_tree
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, RunNotFoundError
from sparkscore.location import check_working_directory
from sparkscore.record.runs_folder import open_run, runs_folder
from sparkscore.registry import is_absolute_store, is_local_store, stores_for_workers

OneOrMore = str | Path | Sequence[str | Path]

# What each run over failed items decides by itself.
_OF_EACH_RUN: Final = (("input", "location"), ("input", "format"), ("output", "mode"))


class RunOptions(TypedDict, total=False):
    """What a request may say beside its deployment; what is absent is as the deployment has it."""

    input: OneOrMore | None
    """A location or several: folder, glob, file or table."""
    output: str | Path | None
    """Location of the result."""
    input_format: str | None
    """``files``, ``parquet``, ``csv``, ``json`` or ``delta``."""
    output_format: str | None
    """``delta`` or ``parquet``."""
    mode: str | None
    """``append``, ``overwrite`` or ``error``."""
    partition_by: OneOrMore | None
    """Partition column or columns of the result."""
    run_id: str | None
    """Id of the run; made from the time when absent."""
    runs: str | Path | None
    """Folder of the run records; ``$SPARKSCORE_RUNS`` or ``./sparkscore-runs`` when absent."""
    settings: Mapping[str, object] | None
    """Any other setting by its dotted name, for example ``{"settings.mini_batch_size": 5}``."""
    model: str | Path | None
    """A model's path or MLflow reference, instead of the deployment's."""
    only_failed: str | None
    """Id of an earlier run: only the items in its quarantine are scored, and added to its result. Without a deployment
    and a model, the request of that run is made again; what is said now comes before it."""


@dataclass(frozen=True)
class Asked:
    """A request.

    Attributes:
        deployment: the deployment file as it was named; None where the options say everything.
        options: what was said beside it.
        folder: what relative paths in both begin at.
        runs: folder of the runs.
        stores: MLflow's tracking store and registry, for scripts; empty where unknown.
    """

    deployment: str | None
    options: RunOptions
    folder: Path
    runs: Path
    stores: tuple[str, str] = ("", "")

    @property
    def file(self) -> Path | None:
        """The deployment file, in the words of the user as long as these lead there."""
        if self.deployment is None:
            return None
        is_here = self.folder == Path.cwd()
        return Path(self.deployment) if is_here else self.folder / self.deployment

    def overrides(self) -> dict[str, object]:
        """Return what the options say, by the dotted names of the deployment's settings."""
        options = self.options
        output, model = options.get("output"), options.get("model")
        return {
            "model.path": None if model is None else str(model),
            "input.location": _texts(options.get("input")),
            "output.location": None if output is None else str(output),
            "input.format": options.get("input_format"),
            "output.format": options.get("output_format"),
            "output.mode": options.get("mode") or ("append" if options.get("only_failed") else None),
            "output.partition_by": _texts(options.get("partition_by")),
            **(options.get("settings") or {}),
        }

    def to_keep(self, run_id: str) -> dict[str, Any]:
        """Return what is kept with the run, so that it can be asked for again; nothing where it holds a secret."""
        if hold_secrets(self.options.get("settings") or {}):
            return {}
        return {
            "working_directory": str(self.folder),
            "deployment": self.deployment,
            "options": {**self.options, "run_id": run_id, "runs": str(self.runs)},
            # The address of a server may hold a password, and means the same in every folder.
            "stores": [store if is_local_store(store) else "" for store in self.stores],
        }


def asked_now(deployment: str | Path | None, options: RunOptions) -> Asked:
    """Return the request that a caller makes.

    Raises:
        RunNotFoundError: the request of the run whose failed items are asked for was not kept.
        ConfigError: a working directory is gone.
    """
    check_working_directory()
    runs = runs_folder(options.get("runs"))
    named = None if deployment is None else str(deployment)
    asked = Asked(named, options, Path.cwd(), runs, stores_for_workers())
    failed = options.get("only_failed")
    if failed and deployment is None and options.get("model") is None:
        return _failed_again(asked, asked_before(runs, failed))
    return asked


def asked_before(runs: Path, run_id: str) -> Asked:
    """Return what an earlier run was asked for.

    Raises:
        RunNotFoundError: there is no such run, or its request was not kept.
        ConfigError: the folder in which it was asked for is gone.
    """
    kept = open_run(runs, run_id).read_request()
    if kept is None or not _is_request(kept):
        raise RunNotFoundError(
            code=ErrorCode.REQUEST_NOT_FOUND,
            what=f"what run '{run_id}' in '{runs}' was asked for",
            got="no request: no such run, one with what may be a secret in its options, or a file that was changed",
            state="",
            next_step="Give its command once more, with what you asked for now.",
        )
    folder = Path(kept["working_directory"])
    _check_folder(folder)
    options: Any = {name: value for name, value in kept["options"].items() if name in RunOptions.__annotations__}
    return Asked(kept["deployment"], options, folder, runs, _stores_of(kept.get("stores")))


def _failed_again(now: Asked, before: Asked) -> Asked:
    """Take what a run over failed items leaves out from the request of the run in which they failed."""
    settings = settings_tree(before.overrides(), before.folder)
    for section, key in _OF_EACH_RUN:
        settings.get(section, {}).pop(key, None)
    settings = settings_tree(now.overrides(), now.folder, settings)
    of_now = {name: value for name, value in now.options.items() if name in {"run_id", "runs", "only_failed"}}
    options: Any = {**of_now, "settings": dotted(settings)}
    return Asked(before.deployment, options, before.folder, now.runs, before.stores)


def _is_request(content: Mapping[str, Any]) -> bool:
    """Whether a file holds what a run was asked for, as `Asked.to_keep` gives it."""
    deployment = content.get("deployment", 0)
    is_whole = isinstance(content.get("working_directory"), str) and isinstance(content.get("options"), dict)
    return is_whole and (deployment is None or isinstance(deployment, str))


def _check_folder(folder: Path) -> None:
    try:
        is_there = os.access(folder, os.X_OK) and folder.is_dir()
    except ValueError:  # a null character
        is_there = False
    if not is_there:
        raise ConfigError(
            code=ErrorCode.WORKING_DIRECTORY,
            what=f"the folder '{folder}', in which the run was asked for",
            got="no folder that can be entered",
            expected="the folder: the request's relative paths begin there",
            next_step="Bring the folder back, or give the run's command once more, with its --run-id, elsewhere.",
        )


def _stores_of(kept: object) -> tuple[str, str]:
    """Return MLflow's stores: those of then where they are local, unless a variable names another place now."""
    now = stores_for_workers()
    if not (isinstance(kept, list) and [type(store) for store in kept] == [str, str]):
        return now
    names = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
    is_said = [is_absolute_store(os.environ.get(name, "")) for name in names]
    tracking, registry = (
        here if said or not then else then for then, here, said in zip(kept, now, is_said, strict=True)
    )
    # Without a registry of its own, the tracking store is the registry.
    return tracking, now[1] if is_said[0] and not is_said[1] else registry


def _texts(value: OneOrMore | None) -> list[str] | None:
    if value is None:
        return None
    return [str(value)] if isinstance(value, (str, Path)) else [str(item) for item in value]
