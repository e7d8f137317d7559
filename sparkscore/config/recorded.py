"""Decide what of a deployment the run record may hold: places and names as they are, no secrets. Runs on the driver."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sparkscore.config.canonical import PATH_KEYS
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.redaction import redact, redact_mapping

# What a later command reads back ('publish', 'resume', 'clean'), and what names columns, files and models: exact.
_OF_A_MODEL: Final = ("path", "name", "version", "sha256", "inputs", "predict_fn")
_EXACT: Final = frozenset(
    {
        ("input", "location"),
        ("input", "columns"),
        ("input", "schema"),
        ("output",),
        ("columns",),
        ("settings",),
        ("python",),
        ("code_configuration", "code"),
        ("code_configuration", "scoring_script"),
        *(("model", key) for key in _OF_A_MODEL),
    }
)
_URI: Final = re.compile(r"^(?!file:)[A-Za-z][A-Za-z0-9+.-]+:/")


def without_secrets(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the mapping of a deployment for the record, with its secrets masked."""
    masked: Any = redact_mapping(open_part(tree))
    return {key: _with_exact(value, masked.get(key), (key,)) for key, value in tree.items()}


def open_part(tree: Mapping[str, Any], place: tuple[str, ...] = ()) -> dict[str, Any]:
    """Copy the mapping of a deployment without what is exact: this is where secrets can be."""
    return {
        key: open_part(value, _below(place, key)) if isinstance(value, Mapping) else value
        for key, value in tree.items()
        if _below(place, key) not in _EXACT
    }


def _below(place: tuple[str, ...], key: str) -> tuple[str, ...]:
    return ("model",) if place == ("models",) else (*place, key)


def _with_exact(value: Any, masked: Any, place: tuple[str, ...]) -> Any:
    if place in _EXACT:
        return _safe_places(value)
    if isinstance(value, Mapping) and isinstance(masked, Mapping):
        return {key: _with_exact(item, masked.get(key), _below(place, key)) for key, item in value.items()}
    return masked


def _safe_places(value: Any) -> Any:
    """Copy what is exact; the address of a store may hold a secret all the same, and is refused."""
    if isinstance(value, Mapping):
        return {key: _safe_places(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_safe_places(item) for item in value]
    return redact_mapping(value) if isinstance(value, str) and _URI.match(value) else value


def hidden_values(tree: Any, shown: Any) -> Any:
    """Give what differs between a deployment's mapping and the one for its record: the secrets, and nothing else."""
    if isinstance(tree, Mapping) and isinstance(shown, Mapping):
        found = {str(key): hidden_values(value, shown.get(key)) for key, value in tree.items()}
        return {key: value for key, value in found.items() if value is not None} or None
    if isinstance(tree, (list, tuple)) and isinstance(shown, list) and len(tree) == len(shown):
        found = {str(place): hidden_values(*pair) for place, pair in enumerate(zip(tree, shown, strict=True))}
        return {key: value for key, value in found.items() if value is not None} or None
    return None if tree == shown else [tree]


def refuse_secret_places(chosen: Mapping[str, object]) -> None:
    """Refuse an address with a secret in it: a run that is taken up later has to find its places in the record.

    Args:
        chosen: the deployment's values by dotted key.

    Raises:
        ConfigError: code ``SECRET_IN_PLACE``.
    """
    for key, place in _places(chosen):
        if _URI.match(place) and redact(place) != place:
            raise ConfigError(
                code=ErrorCode.SECRET_IN_PLACE,
                what=f"setting '{key}' has a secret in its address",
                got=f"'{redact(place)}'",
                expected="an address without one; the run record keeps it for 'publish', 'resume' and 'clean'",
                next_step="Give the secret to Spark in its spark-defaults.conf, or with conf of local_session().",
            )


def _places(chosen: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    models: Any = chosen.get("models") or {}
    of_models = {f"models.{name}.path": model.get("path") for name, model in models.items()}
    for key, value in {**chosen, **of_models}.items():
        if key in PATH_KEYS or key in of_models:
            items = value if isinstance(value, (list, tuple)) else [value]
            yield from ((key, item) for item in items if isinstance(item, str))
