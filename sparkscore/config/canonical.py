"""Bring the ways to write one setting into one form: flat or nested keys, references, relative paths. On the driver."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from sparkscore.config.problems import Problem
from sparkscore.error_codes import ErrorCode

# A scheme of one letter is a Windows drive. Databricks writes dbfs:/, Spark file:/, MLflow models:/ with one slash.
_URI: Final = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.-]+:/|table:|azureml:)")
_REFERENCE: Final = re.compile(r"^azureml:(?P<name>[^:@/]+)(?::(?P<version>[^@/]+)|@[^/]+)?$")
_REGISTRY_REFERENCE: Final = re.compile(
    r"^azureml:/.*?/models/(?P<name>[^/]+)(?:/(?:versions/(?P<version>[^/]+)|labels/[^/]+))?$"
)

# Settings that Azure's older schema has at the top level, and two that its newer one has inside `settings`.
FLAT_SETTINGS: Final = (
    "mini_batch_size",
    "error_threshold",
    "mini_batch_error_threshold",
    "allowed_failed_percent",
    "retry_settings",
    "output_action",
    "output_file_name",
    "logging_level",
    "max_concurrency_per_instance",
)
MOVED: Final[dict[tuple[str, ...], tuple[str, ...]]] = {
    **{(key,): ("settings", key) for key in FLAT_SETTINGS},
    ("settings", "environment_variables"): ("environment_variables",),
    ("settings", "instance_count"): ("resources", "instance_count"),
}
_PATHS: Final = (
    ("model", "path"),
    ("code_configuration", "code"),
    ("input", "location"),
    ("output", "location"),
    ("output", "stage"),
    ("python", "archive"),
    ("python", "requirements"),
    ("environment", "conda_file"),
)
PATH_KEYS: Final = frozenset(".".join(path) for path in _PATHS)

Tree: TypeAlias = dict[str, Any]


def canonical(tree: Mapping[str, object], folder: Path) -> tuple[Tree, list[Problem]]:
    """Write a deployment's keys in their one place, and its paths as absolute ones.

    Keys without a value count as absent. Values of a wrong type stay as they are: the validation names them.

    Args:
        tree: what a file or the options hold; it is not changed.
        folder: what relative paths are relative to.

    Returns:
        the tree, and the settings that were given in two places.
    """
    result = _without_nulls(tree, ())
    problems = [
        Problem(
            ErrorCode.CONFIG_VALUE,
            old,
            f"stands also as '{'.'.join(new)}'",
            next_step="The two mean the same: keep one of them.",
        )
        for old, new in MOVED.items()
        if not _move(result, old, new)
    ]
    _expand_texts(result)
    for path in (*_PATHS, *_model_paths(result)):
        _change(result, path, lambda value: _absolute(value, folder))
    return result, problems


def merge(base: Tree, top: Mapping[str, Any]) -> Tree:
    """Lay one tree over another: mappings are merged, anything else is replaced."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return merged


def with_code_folder(tree: Tree, folder: Path) -> Tree:
    """Let a scoring script without a folder be in the folder of the deployment file."""
    script = tree.get("code_configuration")
    if not isinstance(script, dict) or "code" in script:
        return tree
    return {**tree, "code_configuration": {**script, "code": str(folder)}}


def is_open(path: tuple[str | int, ...]) -> bool:
    """Tell whether the keys below a place are the user's own, not ours."""
    keys = tuple(part for part in path if isinstance(part, str))
    return keys in _OPEN


_OPEN: Final = frozenset(
    {
        ("environment_variables",),
        ("settings", "environment_variables"),
        ("input", "options"),
        ("columns",),
        ("creation_context",),
        *(
            (*owner, key)
            for owner in ((), ("model",), ("environment",), ("resources",))
            for key in ("tags", "properties")
        ),
        ("model", "flavors"),
        ("model", "inputs"),
        ("model", "params"),
        ("model", "session_options"),
        ("environment", "conda_file"),
        ("environment", "build"),
        ("environment", "inference_config"),
    }
)


def _without_nulls(tree: Mapping[str, object], path: tuple[str, ...]) -> Tree:
    result: Tree = {}
    for key, value in tree.items():
        place = (*path, key)
        if isinstance(value, Mapping):
            result[key] = dict(value) if is_open(place) else _without_nulls(value, place)
        elif value is not None:
            result[key] = str(value) if isinstance(value, Path) else value
    return result


def _move(tree: Tree, old: tuple[str, ...], new: tuple[str, ...]) -> bool:
    """Move a value; False when there is one at the new place already."""
    source = _section(tree, old[:-1])
    if source is None or old[-1] not in source:
        return True
    value = source.pop(old[-1])
    target: Any = tree
    for key in new[:-1]:
        target = target.setdefault(key, {})
        if not isinstance(target, dict):
            return True  # the validation says that the section is no mapping
    if new[-1] in target:
        return False
    target[new[-1]] = value
    return True


def _section(tree: Tree, path: tuple[str, ...]) -> Tree | None:
    section: Any = tree
    for key in path:
        section = section.get(key) if isinstance(section, dict) else None
    return section if isinstance(section, dict) else None


def _expand_texts(tree: Tree) -> None:
    if isinstance(tree.get("model"), str):
        tree["model"] = {"path": tree["model"]}
    models = tree.get("models")
    if isinstance(models, dict):
        tree["models"] = {name: {"path": one} if isinstance(one, str) else one for name, one in models.items()}
    model = tree.get("model")
    if isinstance(model, dict) and is_reference(model.get("path")):
        tree["model"] = {**_named(str(model["path"])), **model}
    if isinstance(tree.get("environment"), str):
        tree["environment"] = {"reference": tree["environment"]}


def _model_paths(tree: Tree) -> list[tuple[str, ...]]:
    models = tree.get("models")
    return [("models", str(name), "path") for name in models] if isinstance(models, dict) else []


def is_reference(path: object) -> bool:
    """Tell whether a path is a reference that only Azure can resolve."""
    return isinstance(path, str) and path.startswith("azureml:")


def _named(reference: str) -> Tree:
    match = _REFERENCE.match(reference) or _REGISTRY_REFERENCE.match(reference)
    return {} if match is None else {key: value for key, value in match.groupdict().items() if value is not None}


def _change(tree: Tree, path: tuple[str, ...], change: Callable[[Any], Any]) -> None:
    section = _section(tree, path[:-1])
    if section is not None and path[-1] in section:
        section[path[-1]] = change(section[path[-1]])


def _absolute(value: object, folder: Path) -> object:
    if isinstance(value, (list, tuple)):
        return [_absolute(item, folder) for item in value]
    value = str(value) if isinstance(value, Path) else value
    if not isinstance(value, str) or not value or _URI.match(value):
        return value
    return os.path.normpath(folder / value)
