"""Load a deployment from a file and options, add Azure's defaults, and check all settings. Runs on the driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from sparkscore.config.azure_keys import RETRY_DEFAULTS, SETTINGS_DEFAULTS, is_azure_reference
from sparkscore.config.azure_only import refuse_azure_only, refuse_partition_keys
from sparkscore.config.canonical import PATH_KEYS, Tree, canonical, has_user_keys, merge, with_code_folder
from sparkscore.config.deployment import Deployment
from sparkscore.config.field_types import Section
from sparkscore.config.foreign import refuse_other_files
from sparkscore.config.json_schema import known_keys
from sparkscore.config.not_yet import refuse_unsupported
from sparkscore.config.problems import Origin, Problem, config_error, problems_of
from sparkscore.config.recorded import hidden_values, without_secrets
from sparkscore.config.sections import CodeConfiguration, Model
from sparkscore.config.yaml_file import Document, KeyPath, parse_value, read_document
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, Faults

_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
_SectionT = TypeVar("_SectionT", bound=Section)


def load_deployment(
    path: Path | str | None, overrides: Mapping[str, object] = _NOTHING, folder: Path | None = None
) -> Deployment:
    """Load a deployment file, override some of its settings, and validate the result.

    Args:
        path: the YAML file, or None to use only the overrides. Paths in the file are relative to its folder.
        overrides: settings by dotted key, such as ``"settings.mini_batch_size": 100``. A setting that is None is
            ignored. A mapping is merged with the file's mapping; any other value replaces the file's value.
        folder: base folder for relative paths in the overrides, or None for the working directory.

    Raises:
        ConfigError: the file cannot be read (code ``CONFIG_FILE``), is not valid YAML (``CONFIG_YAML``) or is not a
            batch deployment (``CONFIG_KIND``); a key is unknown (``CONFIG_UNKNOWN_KEY``); a value is invalid
            (``CONFIG_VALUE``); only Azure can resolve or apply a value (``MODEL_REFERENCE``, ``AZURE_REFERENCE``,
            ``AZURE_EXPRESSION``, ``AZURE_ARGUMENT``); a value needs a feature that does not exist yet
            (``NOT_SUPPORTED_YET``).
    """
    tree, problems, origin = _read(path, overrides, folder)
    deployment = _validated(tree, problems, origin)
    faults = Faults()
    for check in (refuse_azure_only, _refuse_references, refuse_unsupported):
        faults.take(partial(check, deployment.chosen()))
    faults.raise_all()
    return deployment


def load_valid_sections(
    path: Path | str | None, overrides: Mapping[str, object] = _NOTHING, folder: Path | None = None
) -> tuple[Model | None, CodeConfiguration | None]:
    """Return the ``model`` and ``code_configuration`` sections of a deployment, even if other settings are invalid.

    This allows a command to report missing files together with invalid settings. A section is None if it is missing,
    invalid or usable only with Azure. If the settings cannot be read at all, both are None. The arguments are the same
    as for `load_deployment`.
    """
    try:
        tree, _, _ = _read(path, overrides, folder)
    except ConfigError:
        return None, None
    return _section(Model, tree.get("model")), _section(CodeConfiguration, tree.get("code_configuration"))


def _section(section_type: type[_SectionT], content: object) -> _SectionT | None:
    try:
        section = section_type.model_validate(content)
        refuse_azure_only(section.model_dump())
    except (ValidationError, ConfigError):
        return None
    return None if isinstance(section, Model) and is_azure_reference(section.path) else section


def _read(
    path: Path | str | None, overrides: Mapping[str, object], base: Path | None
) -> tuple[Tree, list[Problem], Origin]:
    """Read a deployment file and merge the overrides into it. The arguments are the same as for `load_deployment`.

    Returns:
        the settings in canonical form, a problem for each setting that is given under two different keys, and an object
        that error messages use to show where a setting comes from.
    """
    document = Document() if path is None else read_document(Path(path))
    refuse_partition_keys(document.tree)
    if path is not None:
        refuse_other_files(Path(path), document.tree)
    keys = {key: split_key(key) for key, value in overrides.items() if value is not None}
    origin = Origin("" if path is None else str(path), document.positions, tuple(keys.values()))
    base = base or Path.cwd()
    folder = base if path is None else Path(path).absolute().parent
    tree, problems = canonical(document.tree, folder)
    for key, key_path in keys.items():
        refuse_partition_keys(_nested(key_path, overrides[key]))
        option, more_problems = canonical(_nested(key_path, overrides[key]), base)
        tree = merge(tree, option)
        problems += more_problems
    return with_code_folder(tree, folder), problems, origin


def parse_assignment(assignment: str) -> tuple[str, object]:
    """Parse the ``key=value`` of a ``--set`` option. The value is parsed as YAML.

    >>> parse_assignment("settings.mini_batch_size=100")
    ('settings.mini_batch_size', 100)

    Raises:
        ConfigError: the option is not ``key=value``, or the value is missing, null or invalid YAML. The code is
            ``CONFIG_SET``.
    """
    key, equals, text = assignment.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise _assignment_error(key, "no key and value", "key=value, for example settings.mini_batch_size=100")
    try:
        value = parse_value(text, split_key(key))
    except ValueError as error:
        raise _assignment_error(key, str(error), "a value in YAML; put a text in quotes") from error
    if value is None:
        raise _assignment_error(key, "no value", "a value; '' is the empty text")
    return key, value


def settings_tree(overrides: Mapping[str, object], folder: Path, below: Mapping[str, Any] = _NOTHING) -> Tree:
    """Convert settings with dotted keys to nested dictionaries in canonical form.

    Args:
        overrides: settings by dotted key, as in `load_deployment`. A setting that is None is ignored.
        folder: base folder for relative paths in `overrides`.
        below: nested settings with lower precedence, which are merged with `overrides` but not modified.
    """
    tree = dict(below)
    for key, value in overrides.items():
        if value is not None:
            tree = merge(tree, canonical(_nested(split_key(key), value), folder)[0])
    return tree


def dotted(tree: Mapping[str, Any]) -> dict[str, object]:
    """Flatten nested settings to a dictionary with dotted keys, like the `overrides` of `load_deployment`.

    ``models`` and mappings whose keys the user chooses are not flattened.

    >>> dotted({"output": {"mode": "append"}, "input": {"options": {"spark.x": 1}}})
    {'output.mode': 'append', 'input.options': {'spark.x': 1}}
    """
    return dict(_dotted(tree, ()))


def _dotted(tree: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    for key, value in tree.items():
        below = (*path, key)
        if isinstance(value, Mapping) and not has_user_keys(below) and below != ("models",):
            yield from _dotted(value, below)
        else:
            yield ".".join(below), value


def hold_secrets(overrides: Mapping[str, object]) -> bool:
    """Return whether settings contain a secret and therefore must not be stored with the run.

    Args:
        overrides: settings by dotted key, as in `load_deployment`.
    """
    tree = settings_tree(overrides, Path.cwd())
    return hidden_values(tree, without_secrets(tree)) is not None


def split_key(key: str) -> tuple[str, ...]:
    """Split a dotted key into its parts.

    Names that the user chooses, such as those below ``input.options``, may contain dots and are not split.

    >>> split_key("output.mode"), split_key("input.options.spark.x")
    (('output', 'mode'), ('input', 'options', 'spark.x'))
    """
    parts = key.split(".")
    for length in range(1, len(parts)):
        if has_user_keys(tuple(parts[:length])):
            return (*parts[:length], ".".join(parts[length:]))
    return tuple(parts)


def _nested(path: KeyPath, value: object) -> dict[str, object]:
    for key in reversed(path):
        value = {str(key): value}
    return dict(value) if isinstance(value, Mapping) else {}


def _validated(tree: Tree, problems: list[Problem], origin: Origin) -> Deployment:
    try:
        deployment = Deployment.model_validate(tree)
    except ValidationError as error:
        raise config_error([*problems, *problems_of(error, known_keys())], origin) from error
    if problems:
        raise config_error(problems, origin)
    return _with_azure_defaults(deployment) if deployment.is_azure else deployment


def _with_azure_defaults(deployment: Deployment) -> Deployment:
    """Return a copy of a deployment in which unset error thresholds and retry settings have Azure's defaults.

    The defaults are not added to pydantic's ``model_fields_set``, so that they do not count as set by the user.
    """
    settings = deployment.settings
    retries = _completed(settings.retry_settings, RETRY_DEFAULTS)
    settings = _completed(settings, {**SETTINGS_DEFAULTS, "retry_settings": retries}, always=("retry_settings",))
    return _completed(deployment, {"settings": settings}, always=("settings",))


def _completed(section: _SectionT, values: Mapping[str, Any], *, always: tuple[str, ...] = ()) -> _SectionT:
    chosen = section.model_fields_set
    fields = dict(section) | {key: value for key, value in values.items() if key in always or key not in chosen}
    return section.model_construct(_fields_set=set(chosen), **fields)


def _refuse_references(chosen: Mapping[str, object]) -> None:
    found = []
    for key, value in chosen.items():
        items = value if isinstance(value, list) else [value]
        reference = next((item for item in items if is_azure_reference(item)), None)
        if _holds_path(key) and reference is not None:
            found.append(_reference(key, reference))
    Faults(*found).raise_all()


def _reference(key: str, reference: object) -> ConfigError:
    return ConfigError(
        code=ErrorCode.MODEL_REFERENCE if key == "model.path" else ErrorCode.AZURE_REFERENCE,
        what=f"setting '{key}' refers to something that only Azure can resolve",
        got=f"'{reference}'",
        expected="a path",
        next_step=f"Download it and add --set {key}=PATH"
        + ("; the name and version of the reference are kept." if key == "model.path" else "."),
    )


def _holds_path(key: str) -> bool:
    return key in PATH_KEYS or (key.startswith("models.") and key.endswith(".path"))


def _assignment_error(key: str, got: str, expected: str) -> ConfigError:
    what = f"option --set '{key}'"
    return ConfigError(
        code=ErrorCode.CONFIG_SET, what=what, got=got, expected=expected, next_step="Correct the option."
    )
