"""Recognise YAML files that are something else than a batch deployment, and say what they are; runs on the driver."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sparkscore.config.deployment import names_azure_schema
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, names

_CONVERT_JOB: Final = (
    "Write a batch deployment: its folder of code as code_configuration.code, its entry script as "
    "code_configuration.scoring_script, mini_batch_size and the error thresholds under settings."
)


@dataclass(frozen=True)
class _Kind:
    what: str
    keys: frozenset[str]
    schema_words: tuple[str, ...]
    next_step: str


_JOB: Final = _Kind(
    "a job or a component",
    frozenset({"command", "distribution", "experiment_name"}),
    ("job.schema", "component.schema"),
    _CONVERT_JOB,
)
_PIPELINE: Final = _Kind(
    "a pipeline job",
    frozenset({"jobs", "pipeline"}),
    ("pipelinejob", "pipelinecomponent.schema"),
    f"Convert the step that scores. {_CONVERT_JOB}",
)
_PIPELINE_DEPLOYMENT: Final = _Kind(
    "a pipeline component deployment",
    frozenset({"component", "job_definition"}),
    ("pipelinecomponentbatchdeployment",),
    f"Convert the step that scores. {_CONVERT_JOB}",
)
_OTHER: Final = _Kind("another of Azure's files", frozenset(), ("",), "Give the file of a batch deployment.")
_BATCH_DEPLOYMENT: Final = re.compile(r"^(?:model)?batchdeployment\b", re.IGNORECASE)
_KINDS: Final = (
    _Kind(
        "an online deployment, whose script answers single requests",
        frozenset(
            {
                "app_insights_enabled",
                "data_collector",
                "egress_public_network_access",
                "instance_type",
                "liveness_probe",
                "model_mount_path",
                "readiness_probe",
                "request_settings",
                "scale_settings",
            }
        ),
        ("onlinedeployment",),
        "Write a batch deployment with a scoring script whose run(mini_batch) takes a list of files or a DataFrame.",
    ),
    _PIPELINE,
    _PIPELINE_DEPLOYMENT,
    _Kind(
        "a parallel job or a ParallelRunStep configuration",
        frozenset(
            {
                "append_row_file_name",
                "entry_script",
                "node_count",
                "parallel_run_config",
                "process_count_per_node",
                "run_invocation_timeout",
                "run_max_try",
                "source_directory",
                "task",
            }
        ),
        ("paralleljob", "parallelcomponent"),
        _CONVERT_JOB,
    ),
    _JOB,
    _Kind(
        "a batch endpoint",
        frozenset({"auth_mode", "defaults"}),
        ("endpoint.schema",),
        "Give the file of one of its deployments.",
    ),
)


def refuse_other_files(path: Path, tree: Mapping[str, object]) -> None:
    """Stop when a file is one of Azure's other YAML files.

    Raises:
        ConfigError: code ``CONFIG_KIND``; it says what the file is and what to convert.
    """
    kind, sign = _kind_of(tree)
    if kind is not None:
        raise ConfigError(
            code=ErrorCode.CONFIG_KIND,
            what=f"file '{path}'",
            got=f"{kind.what} ({sign})",
            expected="a batch deployment of a model",
            next_step=kind.next_step,
        )


def _kind_of(tree: Mapping[str, object]) -> tuple[_Kind | None, str]:
    schema = tree.get("$schema")
    if isinstance(schema, str) and names_azure_schema(schema):
        name = schema.rsplit("/", 1)[-1]
        for kind in (*_KINDS, _OTHER):
            if any(word in name.lower() for word in kind.schema_words) and not _BATCH_DEPLOYMENT.search(name):
                return kind, f"its $schema is '{name}'"
    if tree.get("type") == "pipeline":
        return _PIPELINE_DEPLOYMENT, "its type is 'pipeline'"
    for kind in _KINDS:
        found = kind.keys & tree.keys()
        if found:
            return kind, f"it has {names(found)}"
    inputs = {"inputs", "outputs"} & tree.keys()
    if inputs and not {"model", "code_configuration"} & tree.keys():
        return _JOB, f"it has {names(inputs)}"
    return None, ""
