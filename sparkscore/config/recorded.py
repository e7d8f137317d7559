"""Mask a deployment's secrets for the run record, but not its locations and names. Runs on the driver."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sparkscore.config.canonical import PATH_KEYS
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.redaction import redact, redact_mapping

# These values are not masked, because later commands ('publish', 'resume', 'clean') read them from the run record, or
# because they are names of columns or models.
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
    """Return a copy of a deployment's dictionary with secrets masked, for the run record.

    Values that later commands read from the record, such as locations and column names, are masked only if they are
    URIs that contain a secret.
    """
    masked: Any = redact_mapping(maskable_part(tree))
    return {key: _with_exact(value, masked.get(key), (key,)) for key, value in tree.items()}


def maskable_part(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a copy of a deployment's dictionary without the values that must not be masked.

    These are values that later commands read from the run record, such as locations.

    Args:
        tree: dictionary of the deployment or of a part of it.
        path: the keys that lead to this part; empty for the whole deployment.
    """
    return {
        key: maskable_part(value, _below(path, key)) if isinstance(value, Mapping) else value
        for key, value in tree.items()
        if _below(path, key) not in _EXACT
    }


def _below(path: tuple[str, ...], key: str) -> tuple[str, ...]:
    return ("model",) if path == ("models",) else (*path, key)


def _with_exact(value: Any, masked: Any, path: tuple[str, ...]) -> Any:
    if path in _EXACT:
        return _without_secret_addresses(value)
    if isinstance(value, Mapping) and isinstance(masked, Mapping):
        return {key: _with_exact(item, masked.get(key), _below(path, key)) for key, item in value.items()}
    return masked


def _without_secret_addresses(value: Any) -> Any:
    # A run does not start if a location's URI contains a secret, see `refuse_secrets_in_locations`.
    if isinstance(value, Mapping):
        return {key: _without_secret_addresses(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_secret_addresses(item) for item in value]
    return redact_mapping(value) if isinstance(value, str) and _URI.match(value) else value


def hidden_values(tree: Any, shown: Any) -> Any:
    """Return the original values that are masked in a copy of a deployment.

    The result is nested like `tree`, but contains only what differs from `shown`. A dictionary or list becomes a
    dictionary of its differing parts, by key or position. Any other value becomes a list that contains only the
    original value. If nothing differs, the result is None.

    Args:
        tree: dictionary of the deployment, or a part of it.
        shown: copy of `tree` in which secrets are masked.
    """
    if isinstance(tree, Mapping) and isinstance(shown, Mapping):
        found = {str(key): hidden_values(value, shown.get(key)) for key, value in tree.items()}
        return {key: value for key, value in found.items() if value is not None} or None
    if isinstance(tree, (list, tuple)) and isinstance(shown, list) and len(tree) == len(shown):
        found = {str(index): hidden_values(*pair) for index, pair in enumerate(zip(tree, shown, strict=True))}
        return {key: value for key, value in found.items() if value is not None} or None
    return None if tree == shown else [tree]


def refuse_secrets_in_locations(chosen: Mapping[str, object]) -> None:
    """Raise an error if a location in a deployment is a URI that contains a secret. ``file:`` URIs are not checked.

    A secret in a location cannot be masked, because commands such as ``publish`` read the location from the run record.

    Args:
        chosen: the deployment's settings by dotted key.

    Raises:
        ConfigError: the URI of an input, output, model or other location contains a secret. The code is
            ``SECRET_IN_PLACE``.
    """
    for key, location in _locations(chosen):
        if _URI.match(location) and redact(location) != location:
            raise ConfigError(
                code=ErrorCode.SECRET_IN_PLACE,
                what=f"setting '{key}' has a secret in its address",
                got=f"'{redact(location)}'",
                expected="an address without one; the run record keeps it for 'publish', 'resume' and 'clean'",
                next_step="Set the secret in Spark's spark-defaults.conf, or with conf of local_session().",
            )


def _locations(chosen: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    models: Any = chosen.get("models") or {}
    of_models = {f"models.{name}.path": model.get("path") for name, model in models.items()}
    for key, value in {**chosen, **of_models}.items():
        if key in PATH_KEYS or key in of_models:
            items = value if isinstance(value, (list, tuple)) else [value]
            yield from ((key, item) for item in items if isinstance(item, str))
