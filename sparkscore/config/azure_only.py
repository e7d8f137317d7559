"""Refuse what only Azure ML's service resolves or applies, so that nothing of it is lost. Runs on the driver."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

from sparkscore.config.canonical import is_open
from sparkscore.config.yaml_file import KeyPath
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, Faults, names
from sparkscore.redaction import redact

# Source: https://learn.microsoft.com/azure/machine-learning/reference-yaml-core-syntax#azure-ml-expressions
_EXPRESSION: Final = re.compile(r"\$\{\{.*?\}\}", re.DOTALL)
# What describes a deployment to people and to Azure means nothing here, whatever it holds.
_DESCRIPTIONS: Final = frozenset({"description", "environment", "properties", "tags"})
_PARTITION_KEYS: Final = "partition_keys"
_ARGUMENTS: Final = "code_configuration.arguments"

# Flags that ParallelRunStep and parallel jobs take out of the script's arguments, with the key that does the same.
# Sources: https://learn.microsoft.com/azure/machine-learning/reference-yaml-job-parallel#attributes-of-the-task-key,
# and azureml-pipeline-core's _parallel_run_step_base.py for the names of version 1.
_FLAGS: Final[Mapping[str, str]] = {
    "allowed_failed_count": "settings.mini_batch_error_threshold",
    "allowed_failed_percent": "settings.allowed_failed_percent",
    "append_row_file_name": "settings.output_file_name",
    "error_threshold": "settings.error_threshold",
    "logging_level": "settings.logging_level",
    "mini_batch_error_threshold": "settings.mini_batch_error_threshold",
    "mini_batch_size": "settings.mini_batch_size",
    "output_action": "settings.output_action",
    "process_count_per_node": "settings.max_concurrency_per_instance",
    "run_invocation_timeout": "settings.retry_settings.timeout",
    "run_max_try": "settings.retry_settings.max_retries",
}
_FLAGS_WITHOUT_A_KEY: Final = frozenset(
    {
        "append_row_dataframe_header",
        "copy_logs_to_parent",
        "create_snapshot_at_runtime",
        "first_task_creation_timeout",
        "metrics_name_prefix",
        "profiling_module",
        "progress_update_timeout",
        "push_metrics_to_parent",
        "rank_mini_batch_count",
        "resource_monitor_interval",
        "task_overhead_timeout",
    }
)


def refuse_partition_keys(tree: Mapping[str, object]) -> None:
    """Refuse to group rows by keys, wherever a file or an option asks for it; without the key other values come out.

    Raises:
        ConfigError: code ``NOT_SUPPORTED_YET``.
    """
    for path, value in _leaves(tree):
        place = path[: path.index(_PARTITION_KEYS) + 1] if _PARTITION_KEYS in path and value is not None else ()
        # Below some keys the names are the user's own.
        if place and not any(is_open(place[:length]) for length in range(1, len(place))):
            raise _no_partitions(".".join(map(str, place)))


def refuse_azures_own(chosen: Mapping[str, object]) -> None:
    """Refuse expressions that Azure replaces, and arguments that Azure applies to the job.

    Args:
        chosen: the settings that the file or the options chose, by dotted key.

    Raises:
        ConfigError: code ``AZURE_EXPRESSION``, ``AZURE_ARGUMENT`` or ``NOT_SUPPORTED_YET``.
    """
    found = [_expression(key, text) for key, text in _expressions(chosen)]
    arguments = chosen.get(_ARGUMENTS)
    flags = _flags([str(item) for item in arguments] if isinstance(arguments, (list, tuple)) else [])
    if _PARTITION_KEYS in flags:
        found.append(_no_partitions(f"{_ARGUMENTS}: --{_PARTITION_KEYS}"))
    of_azure = {flag: value for flag, value in flags.items() if flag in _FLAGS or flag in _FLAGS_WITHOUT_A_KEY}
    if of_azure:
        found.append(_arguments_of_the_job(of_azure))
    Faults(*found).raise_all()


def _expressions(chosen: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for key, value in chosen.items():
        if not _DESCRIPTIONS.isdisjoint(key.split(".")):
            continue
        # A text was split at its blanks, those in an expression among them.
        whole = " ".join(map(str, value)) if key == _ARGUMENTS and isinstance(value, (list, tuple)) else value
        for path, leaf in _leaves({key: whole}):
            if isinstance(leaf, str) and (found := _EXPRESSION.search(leaf)):
                yield ".".join(part for part in map(str, path) if not part.isdigit()), found[0]


def _flags(arguments: list[str]) -> dict[str, str]:
    """Give the flags with their values; empty where there is none."""
    found = {}
    for item, after in pairwise([*arguments, ""]):
        if item.startswith("--"):
            flag, equals, value = item.removeprefix("--").partition("=")
            found[flag] = value if equals else "" if after.startswith("--") else after
    return found


def _arguments_of_the_job(flags: Mapping[str, str]) -> ConfigError:
    steps = [f"'{_FLAGS[flag]}: {_as_here(flag, value)}'" for flag, value in flags.items() if flag in _FLAGS]
    instead = f", and set {', '.join(steps)} instead." if steps else ": no setting does this here."
    return ConfigError(
        code=ErrorCode.AZURE_ARGUMENT,
        what=f"setting '{_ARGUMENTS}'",
        got=f"{names(f'--{flag}' for flag in flags)}, which Azure's parallel jobs apply to the job",
        expected="arguments of the script's own",
        next_step=f"Take {'them' if len(flags) > 1 else 'it'} out of the arguments{instead}",
    )


def _as_here(flag: str, value: str) -> str:
    """Give the value as the key has it: Azure counts tries, and not the tries after the first."""
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
        next_step="Write the rows of each group into a file of their own, set 'input.format: files' and "
        "'settings.mini_batch_size: 1', and let run() read its file.",
    )
