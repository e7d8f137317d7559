"""Read, complete and check a deployment: file and options in, frozen `Deployment` out. Runs on the driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from sparkscore.config.azure_only import refuse_azures_own, refuse_partition_keys
from sparkscore.config.canonical import PATH_KEYS, Tree, canonical, is_open, is_reference, merge, with_code_folder
from sparkscore.config.deployment import Deployment
from sparkscore.config.field_types import Section
from sparkscore.config.foreign import refuse_other_files
from sparkscore.config.json_schema import known_keys
from sparkscore.config.not_yet import refuse_what_is_not_there
from sparkscore.config.problems import Origin, Problem, config_error, problems_of
from sparkscore.config.recorded import hidden_values, without_secrets
from sparkscore.config.sections import CodeConfiguration, Model
from sparkscore.config.yaml_file import Document, KeyPath, parse_value, read_document
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, Faults

_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
_AZURE_DEFAULTS: Final = {"error_threshold": -1, "mini_batch_error_threshold": -1}
_AZURE_RETRIES: Final = {"max_retries": 3, "timeout": 30}
_SectionT = TypeVar("_SectionT", bound=Section)


def load_deployment(
    path: Path | str | None, overrides: Mapping[str, object] = _NOTHING, folder: Path | None = None
) -> Deployment:
    """Load a deployment from a file, with single settings replaced.

    Args:
        path: the YAML file; without one the deployment is made of the overrides alone.
        overrides: values by dotted key (``"settings.mini_batch_size": 100``), already typed; None is ignored. Paths
            among them are relative to the folder, those in the file to the file. A mapping is merged into the file's,
            anything else replaces what the file says.
        folder: what paths among the overrides are relative to; the working directory when None.

    Raises:
        ConfigError: ``CONFIG_FILE``, ``CONFIG_YAML``, ``CONFIG_KIND``, ``CONFIG_UNKNOWN_KEY``, ``CONFIG_VALUE``,
            ``MODEL_REFERENCE``, ``AZURE_EXPRESSION``, ``AZURE_ARGUMENT`` or ``NOT_SUPPORTED_YET``.
    """
    tree, problems, origin = _read(path, overrides, folder)
    deployment = _validated(tree, problems, origin)
    faults = Faults()
    for check in (refuse_azures_own, _refuse_references, refuse_what_is_not_there):
        faults.take(partial(check, deployment.chosen()))
    faults.raise_all()
    return deployment


def load_what_is_right(
    path: Path | str | None, overrides: Mapping[str, object] = _NOTHING, folder: Path | None = None
) -> tuple[Model | None, CodeConfiguration | None]:
    """Give the sections of a wrong deployment that name files, as far as they are right, to look for those too.

    Never raises; what only Azure can resolve is left out.
    """
    try:
        tree, _, _ = _read(path, overrides, folder)
    except ConfigError:
        return None, None
    return _section(Model, tree.get("model")), _section(CodeConfiguration, tree.get("code_configuration"))


def _section(kind: type[_SectionT], content: object) -> _SectionT | None:
    try:
        section = kind.model_validate(content)
        refuse_azures_own(section.model_dump())
    except (ValidationError, ConfigError):
        return None
    return None if isinstance(section, Model) and is_reference(section.path) else section


def _read(
    path: Path | str | None, overrides: Mapping[str, object], base: Path | None
) -> tuple[Tree, list[Problem], Origin]:
    """Read the file and lay the options over it."""
    document = Document() if path is None else read_document(Path(path))
    refuse_partition_keys(document.tree)
    if path is not None:
        refuse_other_files(Path(path), document.tree)
    keys = {key: split_key(key) for key, value in overrides.items() if value is not None}
    origin = Origin("" if path is None else str(path), document.places, tuple(keys.values()))
    base = base or Path.cwd()
    folder = base if path is None else Path(path).absolute().parent
    tree, problems = canonical(document.tree, folder)
    for key, place in keys.items():
        refuse_partition_keys(_nested(place, overrides[key]))
        option, more_problems = canonical(_nested(place, overrides[key]), base)
        tree = merge(tree, option)
        problems += more_problems
    return with_code_folder(tree, folder), problems, origin


def parse_assignment(assignment: str) -> tuple[str, object]:
    """Read ``key=value`` as the command line gives it; the value is YAML.

    >>> parse_assignment("settings.mini_batch_size=100")
    ('settings.mini_batch_size', 100)

    Raises:
        ConfigError: code ``CONFIG_SET``.
    """
    key, equals, text = assignment.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise _assignment_error(key, "no key and value", "key=value, for example settings.mini_batch_size=100")
    try:
        value = parse_value(text, split_key(key))
    except ValueError as error:
        raise _assignment_error(key, str(error), "a value in YAML; quotes make it a text") from error
    if value is None:
        raise _assignment_error(key, "no value", "a value; '' is the empty text")
    return key, value


def settings_tree(overrides: Mapping[str, object], folder: Path, below: Mapping[str, Any] = _NOTHING) -> Tree:
    """Lay single settings, by dotted key, over a tree of settings, with their paths absolute.

    Args:
        overrides: the settings, as `load_deployment` takes them.
        folder: what paths among them are relative to.
        below: the tree.
    """
    tree = dict(below)
    for key, value in overrides.items():
        if value is not None:
            tree = merge(tree, canonical(_nested(split_key(key), value), folder)[0])
    return tree


def dotted(tree: Mapping[str, Any]) -> dict[str, object]:
    """Return the settings of a tree by dotted key, as `load_deployment` takes them; mappings of the user's are whole.

    >>> dotted({"output": {"mode": "append"}, "input": {"options": {"spark.x": 1}}})
    {'output.mode': 'append', 'input.options': {'spark.x': 1}}
    """
    return dict(_dotted(tree, ()))


def _dotted(tree: Mapping[str, Any], place: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    for key, value in tree.items():
        below = (*place, key)
        if isinstance(value, Mapping) and not is_open(below) and below != ("models",):
            yield from _dotted(value, below)
        else:
            yield ".".join(below), value


def hold_secrets(overrides: Mapping[str, object]) -> bool:
    """Tell whether single settings, by dotted key, hold a secret, so that they cannot be kept with the run."""
    tree = settings_tree(overrides, Path.cwd())
    return hidden_values(tree, without_secrets(tree)) is not None


def split_key(key: str) -> tuple[str, ...]:
    """Cut a dotted key; names of the user's own, like those of environment variables, may hold dots.

    >>> split_key("output.mode"), split_key("input.options.spark.x")
    (('output', 'mode'), ('input', 'options', 'spark.x'))
    """
    parts = key.split(".")
    for length in range(1, len(parts)):
        if is_open(tuple(parts[:length])):
            return (*parts[:length], ".".join(parts[length:]))
    return tuple(parts)


def _nested(place: KeyPath, value: object) -> dict[str, object]:
    for key in reversed(place):
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
    """Complete a deployment as Azure does. What was chosen stays known: defaults are not among the fields set."""
    settings = deployment.settings
    retries = _completed(settings.retry_settings, _AZURE_RETRIES)
    settings = _completed(settings, {**_AZURE_DEFAULTS, "retry_settings": retries}, always=("retry_settings",))
    return _completed(deployment, {"settings": settings}, always=("settings",))


def _completed(section: _SectionT, values: Mapping[str, Any], *, always: tuple[str, ...] = ()) -> _SectionT:
    chosen = section.model_fields_set
    fields = dict(section) | {key: value for key, value in values.items() if key in always or key not in chosen}
    return section.model_construct(_fields_set=set(chosen), **fields)


def _refuse_references(chosen: Mapping[str, object]) -> None:
    found = []
    for key, value in chosen.items():
        reference = next((item for item in (value if isinstance(value, list) else [value]) if is_reference(item)), None)
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
