"""Raise errors for Azure ML settings that cannot be ignored safely. Runs on the driver."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

from sparkscore.config.azure_keys import DESCRIPTIONS, FLAGS, FLAGS_WITHOUT_A_KEY, PARTITION_KEYS
from sparkscore.config.canonical import has_user_keys
from sparkscore.config.yaml_file import KeyPath
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, Faults, names
from sparkscore.redaction import redact

# Source: https://learn.microsoft.com/azure/machine-learning/reference-yaml-core-syntax#azure-ml-expressions
_EXPRESSION: Final = re.compile(r"\$\{\{.*?\}\}", re.DOTALL)
_ARGUMENTS: Final = "code_configuration.arguments"


def refuse_partition_keys(tree: Mapping[str, object]) -> None:
    """Raise an error if the settings contain ``partition_keys``.

    In Azure's parallel jobs, this key lists columns by which the rows are grouped, and each call of ``run()`` gets one
    group. If sparkscore ignored the key, ``run()`` would get rows from several groups. No error is raised for
    environment variables, tags and reader options with this name.

    Args:
        tree: the settings in a file or an option, as nested dictionaries.

    Raises:
        ConfigError: the key has a value; the code is ``NOT_SUPPORTED_YET``.
    """
    for path, value in _leaves(tree):
        found = path[: path.index(PARTITION_KEYS) + 1] if PARTITION_KEYS in path and value is not None else ()
        # Under some keys, users choose the names: an environment variable may be called 'partition_keys'.
        if found and not any(has_user_keys(found[:length]) for length in range(1, len(found))):
            raise _no_partitions(".".join(map(str, found)))


def refuse_azure_only(chosen: Mapping[str, object]) -> None:
    """Raise an error if settings contain Azure expressions, or script arguments that Azure applies to the whole job.

    Expressions are allowed in descriptions, tags, properties and the ``environment`` section.

    Args:
        chosen: the settings from the deployment file and the options, by dotted key.

    Raises:
        ConfigError: a setting contains an expression such as ``${{inputs.x}}`` (code ``AZURE_EXPRESSION``), or the
            script's arguments contain a flag of Azure's parallel jobs (``AZURE_ARGUMENT``, or ``NOT_SUPPORTED_YET``
            for ``--partition_keys``).
    """
    found = [_expression(key, text) for key, text in _expressions(chosen)]
    arguments = chosen.get(_ARGUMENTS)
    flags = _flags([str(item) for item in arguments] if isinstance(arguments, (list, tuple)) else [])
    if PARTITION_KEYS in flags:
        found.append(_no_partitions(f"{_ARGUMENTS}: --{PARTITION_KEYS}"))
    of_azure = {flag: value for flag, value in flags.items() if flag in FLAGS or flag in FLAGS_WITHOUT_A_KEY}
    if of_azure:
        found.append(_arguments_of_the_job(of_azure))
    Faults(*found).raise_all()


def _expressions(chosen: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for key, value in chosen.items():
        if not DESCRIPTIONS.isdisjoint(key.split(".")):
            continue
        # Join the arguments again, because an expression with spaces was split if they were written as one string.
        whole = " ".join(map(str, value)) if key == _ARGUMENTS and isinstance(value, (list, tuple)) else value
        for path, leaf in _leaves({key: whole}):
            if isinstance(leaf, str) and (found := _EXPRESSION.search(leaf)):
                yield ".".join(part for part in map(str, path) if not part.isdigit()), found[0]


def _flags(arguments: list[str]) -> dict[str, str]:
    """Parse flags such as ``--size 10`` into a dictionary such as ``{"size": "10"}``.

    A flag without a value is mapped to an empty string.
    """
    found = {}
    for item, after in pairwise([*arguments, ""]):
        if item.startswith("--"):
            flag, equals, value = item.removeprefix("--").partition("=")
            found[flag] = value if equals else "" if after.startswith("--") else after
    return found


def _arguments_of_the_job(flags: Mapping[str, str]) -> ConfigError:
    steps = [f"'{FLAGS[flag]}: {_as_here(flag, value)}'" for flag, value in flags.items() if flag in FLAGS]
    instead = f", and set {', '.join(steps)} instead." if steps else ": no setting does this here."
    return ConfigError(
        code=ErrorCode.AZURE_ARGUMENT,
        what=f"setting '{_ARGUMENTS}'",
        got=f"{names(f'--{flag}' for flag in flags)}, which Azure's parallel jobs apply to the job",
        expected="arguments for the script",
        next_step=f"Remove {'them' if len(flags) > 1 else 'it'} from the arguments{instead}",
    )


def _as_here(flag: str, value: str) -> str:
    """Convert the value of an Azure flag to the value of the equivalent deployment key, for a message.

    ``run_max_try`` is reduced by 1, because it counts all tries, but ``max_retries`` counts only those after the first.
    In other values, secrets are masked. An empty value becomes the placeholder ``VALUE``.
    """
    return str(int(value) - 1) if flag == "run_max_try" and value.isdigit() else redact(value) or "VALUE"


def _leaves(tree: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, object]]:
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from _leaves(value, (*path, str(key)))
    elif isinstance(tree, (list, tuple)) and tree:
        for number, value in enumerate(tree):
            yield from _leaves(value, (*path, str(number)))
    else:
        yield path, tree


def _expression(key: str, expression: str) -> ConfigError:
    return ConfigError(
        code=ErrorCode.AZURE_EXPRESSION,
        what=f"setting '{key}' holds an expression that only Azure resolves",
        got=f"'{redact(expression)}'",
        expected="its value",
        next_step=f"Write the value there, or add --set {key}=VALUE.",
    )


def _no_partitions(key: str) -> ConfigError:
    return ConfigError(
        code=ErrorCode.NOT_SUPPORTED_YET,
        what=f"'{key}' asks for a call of run() for each group of rows, which this version cannot do",
        expected="a deployment whose run() takes any rows; without the key it would get rows of several groups at once",
        next_step="Write each group of rows into a separate file, set 'input.format: files' and "
        "'settings.mini_batch_size: 1', and let run() read its file.",
    )
