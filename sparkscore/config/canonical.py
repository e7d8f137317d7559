"""Convert settings, which can be written in several ways, to a canonical form. Runs on the driver.

In a file, some keys may be at the top level or in a section, a model or an environment may be a string or a mapping,
and paths may be relative. In the canonical form, each key has one position, models and environments are mappings, and
paths are absolute. URIs are not changed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from sparkscore.config.azure_keys import MOVED, UNCHECKED_SECTIONS, is_azure_reference, name_and_version
from sparkscore.config.problems import Problem
from sparkscore.error_codes import ErrorCode

# A scheme has at least two letters, because a single letter is a Windows drive. One slash after it is enough:
# Databricks writes dbfs:/, Spark file:/, and MLflow models:/.
_URI: Final = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.-]+:/|table:|azureml:)")

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
    """Convert settings to the canonical form that the module docstring describes.

    Keys without a value are removed, except in mappings whose keys the user chooses, such as ``environment_variables``.
    Types are not checked.

    Args:
        tree: the settings in a file or an option, as nested dictionaries, which are not modified.
        folder: base folder for relative paths.

    Returns:
        the settings as nested dictionaries, and a problem for each setting that is given under two different keys.
    """
    result = _without_nulls(tree, ())
    problems = [
        Problem(
            ErrorCode.CONFIG_VALUE,
            old,
            f"is also given as '{'.'.join(new)}'",
            next_step="Both mean the same: keep one of them.",
        )
        for old, new in MOVED.items()
        if not _move(result, old, new)
    ]
    _expand_texts(result)
    for path in (*_PATHS, *_model_paths(result)):
        _change(result, path, lambda value: _absolute(value, folder))
    return result, problems


def merge(base: Tree, top: Mapping[str, Any]) -> Tree:
    """Return a copy of `base`, recursively updated with `top`.

    If a key's value is a dictionary in both, the two are merged. Any other value in `top` replaces the one in `base`.
    """
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return merged


def with_code_folder(tree: Tree, folder: Path) -> Tree:
    """Return settings in which ``code_configuration.code`` defaults to `folder`.

    If there is no ``code_configuration`` section, the settings are returned unchanged.
    """
    script = tree.get("code_configuration")
    if not isinstance(script, dict) or "code" in script:
        return tree
    return {**tree, "code_configuration": {**script, "code": str(folder)}}


def has_user_keys(path: tuple[str | int, ...]) -> bool:
    """Return whether the user chooses the keys of the mapping at this key, for example ``environment_variables``.

    Args:
        path: the parts of the key. List positions are ignored.
    """
    keys = tuple(part for part in path if isinstance(part, str))
    return keys in _WITH_USER_KEYS


_WITH_USER_KEYS: Final = frozenset(
    {
        ("environment_variables",),
        ("sql", "arguments"),
        ("settings", "environment_variables"),
        ("input", "options"),
        ("columns",),
        *UNCHECKED_SECTIONS,
        ("model", "inputs"),
        ("model", "params"),
        ("model", "session_options"),
    }
)


def _without_nulls(tree: Mapping[str, object], path: tuple[str, ...]) -> Tree:
    result: Tree = {}
    for key, value in tree.items():
        below = (*path, key)
        if isinstance(value, Mapping):
            result[key] = dict(value) if has_user_keys(below) else _without_nulls(value, below)
        elif value is not None:
            result[key] = str(value) if isinstance(value, Path) else value
    return result


def _move(tree: Tree, old: tuple[str, ...], new: tuple[str, ...]) -> bool:
    """Move a value from the key `old` to the key `new`.

    If `new` already has a value, keep that value, remove `old`, and return False. Otherwise, return True.
    """
    section = _section(tree, old[:-1])
    if section is None or old[-1] not in section:
        return True
    value = section.pop(old[-1])
    target: Any = tree
    for key in new[:-1]:
        target = target.setdefault(key, {})
        if not isinstance(target, dict):
            return True  # the validation reports that the section is not a mapping
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
    if isinstance(model, dict) and is_azure_reference(model.get("path")):
        tree["model"] = {**name_and_version(str(model["path"])), **model}
    if isinstance(tree.get("environment"), str):
        tree["environment"] = {"reference": tree["environment"]}


def _model_paths(tree: Tree) -> list[tuple[str, ...]]:
    models = tree.get("models")
    return [("models", str(name), "path") for name in models] if isinstance(models, dict) else []


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
