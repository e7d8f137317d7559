"""Build the request for a run from the caller's options or from an earlier run's stored request. Runs on the driver."""

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
from sparkscore.record.listing import runs_folder
from sparkscore.record.runs_folder import open_run
from sparkscore.registry import is_absolute_store, is_local_store, stores_for_workers

OneOrMore = str | Path | Sequence[str | Path]

# A run with `only_failed` does not take these settings from the run in which the items failed.
_OF_EACH_RUN: Final = (("input", "location"), ("input", "format"), ("output", "mode"))


class RunOptions(TypedDict, total=False):
    """The options of a run.

    Options such as ``input`` override the deployment file. An option that is None is treated as missing.
    """

    input: OneOrMore | None
    """One or more locations, each a folder, a glob, a file or a table."""
    output: str | Path | None
    """Location of the result."""
    input_format: str | None
    """``files``, ``parquet``, ``csv``, ``json`` or ``delta``."""
    output_format: str | None
    """``delta`` or ``parquet``."""
    mode: str | None
    """``append``, ``overwrite`` or ``error``."""
    partition_by: OneOrMore | None
    """One or more partition columns of the result."""
    run_id: str | None
    """Id of the run. Generated if None."""
    runs: str | Path | None
    """The runs folder. If None, ``$SPARKSCORE_RUNS`` or ``./sparkscore-runs``."""
    settings: Mapping[str, object] | None
    """Other deployment settings by dotted name, for example ``{"settings.mini_batch_size": 5}``."""
    model: str | Path | None
    """Path or MLflow reference of a model. Overrides the deployment's ``model.path``."""
    only_failed: str | None
    """Id of an earlier run. Only items in its quarantine are scored, and ``mode`` defaults to ``append``. If neither a
    deployment nor a model is given, that run's request is used again, and options given now override it."""


@dataclass(frozen=True)
class UncheckedRequest:
    """A request for a run, before it is checked.

    Attributes:
        deployment: path of the deployment file as given by the caller, or None if there is no deployment file.
        options: the options of the run.
        folder: the base folder for relative paths in `deployment` and `options`. Relative paths in the deployment file
            are relative to that file's folder instead.
        runs: the runs folder.
        stores: URIs of MLflow's tracking store and model registry, for scoring scripts. An unknown URI is an empty
            string.
    """

    deployment: str | None
    options: RunOptions
    folder: Path
    runs: Path
    stores: tuple[str, str] = ("", "")

    @property
    def file(self) -> Path | None:
        """Path of the deployment file, or None if there is no deployment file.

        If `folder` is not the working directory, a relative path is resolved against `folder`.
        """
        if self.deployment is None:
            return None
        is_here = self.folder == Path.cwd()
        return Path(self.deployment) if is_here else self.folder / self.deployment

    def overrides(self) -> dict[str, object]:
        """Return the deployment settings that the options override, by dotted name.

        A value of None means that the setting is not overridden. The ``settings`` option takes precedence over the
        other options. With ``only_failed``, ``output.mode`` defaults to ``append``.
        """
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
        """Return the request as a dictionary to store in the run's folder, so that `resume` can repeat the request.

        The dictionary is empty if the ``settings`` option may contain a secret, which must not be stored. URIs of
        non-local MLflow stores are replaced with empty strings.
        """
        if hold_secrets(self.options.get("settings") or {}):
            return {}
        return {
            "working_directory": str(self.folder),
            "deployment": self.deployment,
            "options": {**self.options, "run_id": run_id, "runs": str(self.runs)},
            # The URI of a server may contain a password, and does not depend on the working directory.
            "stores": [store if is_local_store(store) else "" for store in self.stores],
        }


def new_request(deployment: str | Path | None, options: RunOptions) -> UncheckedRequest:
    """Return the request for a new run.

    If ``only_failed`` is given without a deployment or a model, the request is completed from the stored request of the
    run that ``only_failed`` names.

    Raises:
        RunNotFoundError: the earlier run's stored request is needed, but it is missing or damaged.
        ConfigError: the current working directory no longer exists or cannot be read; the working directory of the
            earlier run no longer exists or cannot be entered; or the earlier run's id is not valid.
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
        RunNotFoundError: there is no such run, its request was not stored, or the stored request is damaged.
        ConfigError: the working directory of that run no longer exists or cannot be entered, or the run id is not
            valid.
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
    """Complete the request for a run with ``only_failed`` from an earlier run's stored request.

    The deployment file, the base folder and the MLflow stores are those of the stored request. Its settings apply as
    well, except for the input's location and format and the output's mode. Settings of the new request take precedence.

    Args:
        now: the request for the new run, which names neither a deployment nor a model.
        before: the stored request of the run in which the items failed.
    """
    settings = settings_tree(before.overrides(), before.folder)
    for section, key in _OF_EACH_RUN:
        settings.get(section, {}).pop(key, None)
    settings = settings_tree(now.overrides(), now.folder, settings)
    of_now = {name: value for name, value in now.options.items() if name in {"run_id", "runs", "only_failed"}}
    options: Any = {**of_now, "settings": dotted(settings)}
    return UncheckedRequest(before.deployment, options, before.folder, now.runs, before.stores)


def _is_request(content: Mapping[str, Any]) -> bool:
    """Return whether a JSON object has the entries that every stored request needs, with values of the right types."""
    deployment = content.get("deployment", 0)
    is_whole = isinstance(content.get("working_directory"), str) and isinstance(content.get("options"), dict)
    return is_whole and (deployment is None or isinstance(deployment, str))


def _check_folder(folder: Path) -> None:
    try:
        is_there = os.access(folder, os.X_OK) and folder.is_dir()
    except ValueError:  # The path contains a null character.
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
    """Return the URIs of MLflow's tracking store and model registry for the stored request of an earlier run.

    The URIs in the stored request are used, but are replaced with the current ones in these cases:

    - If a stored URI is empty, it is replaced.
    - If ``MLFLOW_TRACKING_URI`` is now an absolute URI, the URIs of both stores are replaced.
    - If ``MLFLOW_REGISTRY_URI`` is now an absolute URI, the URI of the registry is replaced.

    Args:
        kept: the ``stores`` entry of the stored request. If it is not a list of two strings, the current URIs are
            returned.
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
