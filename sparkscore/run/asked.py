"""Build the request for a run: from the caller's options, or from an earlier run's stored request (driver)."""

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

# A run over failed items does not take these settings from the run in which the items failed.
_OF_EACH_RUN: Final = (("input", "location"), ("input", "format"), ("output", "mode"))


class RunOptions(TypedDict, total=False):
    """Options of a run. An option that is given overrides the deployment file; the others do not change it."""

    input: OneOrMore | None
    """One location or several. Each is a folder, a glob, a file or a table."""
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
    """Id of the run; made from the current time if absent."""
    runs: str | Path | None
    """Folder of the run records; ``$SPARKSCORE_RUNS`` or ``./sparkscore-runs`` if absent."""
    settings: Mapping[str, object] | None
    """Other settings of the deployment by dotted name, for example ``{"settings.mini_batch_size": 5}``."""
    model: str | Path | None
    """Path or MLflow reference of a model, used instead of the deployment's model."""
    only_failed: str | None
    """Id of an earlier run. Only the items in its quarantine are scored, and the rows are appended to its result. If
    neither a deployment nor a model is given, that run's request is used again; options given now override it."""


@dataclass(frozen=True)
class UncheckedRequest:
    """A request for a run, before it is checked.

    Attributes:
        deployment: the deployment file, spelled as the caller spelled it; None if the options say everything.
        options: the options given with the deployment file.
        folder: the folder to which relative paths in the deployment's name and in the options are relative.
        runs: the folder that has a folder for each run.
        stores: URIs of MLflow's tracking store and registry for scoring scripts; empty strings if not known.
    """

    deployment: str | None
    options: RunOptions
    folder: Path
    runs: Path
    stores: tuple[str, str] = ("", "")

    @property
    def file(self) -> Path | None:
        """Path of the deployment file, or None; as the caller spelled it if that path is valid in this folder."""
        if self.deployment is None:
            return None
        is_here = self.folder == Path.cwd()
        return Path(self.deployment) if is_here else self.folder / self.deployment

    def overrides(self) -> dict[str, object]:
        """Return the options as settings of the deployment, by dotted name; None for an option that was not given."""
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

    def to_store(self, run_id: str) -> dict[str, Any]:
        """Return the request as JSON content for the run's folder, so that `resume` can repeat it.

        The dictionary is empty if a setting may hold a secret: such a request is not stored.
        """
        if hold_secrets(self.options.get("settings") or {}):
            return {}
        return {
            "working_directory": str(self.folder),
            "deployment": self.deployment,
            "options": {**self.options, "run_id": run_id, "runs": str(self.runs)},
            # The address of a server may contain a password, and does not depend on the working directory.
            "stores": [store if is_local_store(store) else "" for store in self.stores],
        }


def new_request(deployment: str | Path | None, options: RunOptions) -> UncheckedRequest:
    """Return the request for a new run.

    Raises:
        RunNotFoundError: ``only_failed`` names a run whose request was not stored.
        ConfigError: the working directory of this process or of that run does not exist any more.
    """
    check_working_directory()
    runs = runs_folder(options.get("runs"))
    named = None if deployment is None else str(deployment)
    asked = UncheckedRequest(named, options, Path.cwd(), runs, stores_for_workers())
    failed = options.get("only_failed")
    if failed and deployment is None and options.get("model") is None:
        return _request_for_failed(asked, stored_request(runs, failed))
    return asked


def stored_request(runs: Path, run_id: str) -> UncheckedRequest:
    """Return the stored request of an earlier run.

    Raises:
        RunNotFoundError: there is no such run, or its request was not stored.
        ConfigError: the working directory of that run does not exist any more.
    """
    kept = open_run(runs, run_id).read_request()
    if kept is None or not _is_request(kept):
        raise RunNotFoundError(
            code=ErrorCode.REQUEST_NOT_FOUND,
            what=f"the request of run '{run_id}' in '{runs}'",
            got="no request: there is no such run, its options may hold a secret, or its file was changed",
            state="",
            next_step="Run its full command again, with the options that you gave now.",
        )
    folder = Path(kept["working_directory"])
    _check_folder(folder)
    options: Any = {name: value for name, value in kept["options"].items() if name in RunOptions.__annotations__}
    return UncheckedRequest(kept["deployment"], options, folder, runs, _stores_of(kept.get("stores")))


def _request_for_failed(now: UncheckedRequest, before: UncheckedRequest) -> UncheckedRequest:
    """Return the request for a run over failed items, completed with the request of the run in which they failed."""
    settings = settings_tree(before.overrides(), before.folder)
    for section, key in _OF_EACH_RUN:
        settings.get(section, {}).pop(key, None)
    settings = settings_tree(now.overrides(), now.folder, settings)
    of_now = {name: value for name, value in now.options.items() if name in {"run_id", "runs", "only_failed"}}
    options: Any = {**of_now, "settings": dotted(settings)}
    return UncheckedRequest(before.deployment, options, before.folder, now.runs, before.stores)


def _is_request(content: Mapping[str, Any]) -> bool:
    """Whether the content of a file has the form that `UncheckedRequest.to_store` writes."""
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
            what=f"the folder '{folder}', in which the run was started",
            got="no folder that can be entered",
            expected="a folder: relative paths of the request are relative to it",
            next_step="Restore the folder, or run the run's command again elsewhere, with its --run-id.",
        )


def _stores_of(kept: object) -> tuple[str, str]:
    """Return the MLflow stores for a run that is repeated.

    A local store is the one that the earlier run used, unless an environment variable names another one now.

    Args:
        kept: the entry ``stores`` of the stored request; records of other versions may have something else there.
    """
    now = stores_for_workers()
    if not (isinstance(kept, list) and [type(store) for store in kept] == [str, str]):
        return now
    names = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
    is_said = [is_absolute_store(os.environ.get(name, "")) for name in names]
    tracking, registry = (
        here if said or not then else then for then, here, said in zip(kept, now, is_said, strict=True)
    )
    # MLflow uses the tracking store as the registry if no registry is set.
    return tracking, now[1] if is_said[0] and not is_said[1] else registry


def _texts(value: OneOrMore | None) -> list[str] | None:
    if value is None:
        return None
    return [str(value)] if isinstance(value, (str, Path)) else [str(item) for item in value]
