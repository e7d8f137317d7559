"""Define the keys, defaults and spellings of Azure ML's YAML files (driver).

The other modules of this package use these definitions, so that a change of Azure's schemas only changes this module.
Fields that are only recorded are declared in `sections` and `deployment`, with all other fields.

Sources: https://learn.microsoft.com/azure/machine-learning/reference-yaml-deployment-batch for batch deployments, and
https://azuremlschemas.azureedge.net/latest/batchDeployment.schema.json for its JSON schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_SCHEMA: Final = re.compile(r"azuremlschemas", re.IGNORECASE)
_BATCH_DEPLOYMENT: Final = re.compile(r"^(?:model)?batchdeployment\b", re.IGNORECASE)
_REFERENCE: Final = re.compile(r"^azureml:(?P<name>[^:@/]+)(?::(?P<version>[^@/]+)|@[^/]+)?$")
_REGISTRY_REFERENCE: Final = re.compile(
    r"^azureml:/.*?/models/(?P<name>[^/]+)(?:/(?:versions/(?P<version>[^/]+)|labels/[^/]+))?$"
)

#: Settings that Azure's older schema has at the top level.
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
#: The positions of keys in sparkscore, by other positions that files use. Azure's newer schema has two in `settings`.
MOVED: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    **{(key,): ("settings", key) for key in FLAT_SETTINGS},
    ("settings", "environment_variables"): ("environment_variables",),
    ("settings", "instance_count"): ("resources", "instance_count"),
}

#: Keys that only Azure's service uses. A key includes all keys below it.
WITHOUT_MEANING: Final = (
    "compute",
    "creation_context",
    "endpoint_name",
    "environment",
    "id",
    "model.$schema",
    "model.datastore",
    "model.flavors",
    "model.id",
    "model.job_name",
    "model.properties",
    "model.stage",
    "model.tags",
    "model.type",
    "properties",
    "provisioning_state",
    "resources.docker_args",
    "resources.instance_type",
    "resources.locations",
    "resources.max_instance_count",
    "resources.properties",
    "resources.shm_size",
    "settings.output_file_name",
    "tags",
)
#: Keys that describe a deployment to people and to Azure. Expressions below them are not replaced and do no harm.
DESCRIPTIONS: Final = frozenset({"description", "environment", "properties", "tags"})
#: Sections whose keys below are the user's own names, or are recorded without being checked.
UNCHECKED_SECTIONS: Final = frozenset(
    {
        ("creation_context",),
        *(
            (*owner, key)
            for owner in ((), ("model",), ("environment",), ("resources",))
            for key in ("tags", "properties")
        ),
        ("model", "flavors"),
        ("environment", "conda_file"),
        ("environment", "build"),
        ("environment", "inference_config"),
    }
)

#: Azure's defaults, which hold in a file with Azure's ``$schema``.
SETTINGS_DEFAULTS: Final = {"error_threshold": -1, "mini_batch_error_threshold": -1}
RETRY_DEFAULTS: Final = {"max_retries": 3, "timeout": 30}

#: The key of parallel jobs that asks for one call of ``run()`` for each group of rows.
PARTITION_KEYS: Final = "partition_keys"
#: Flags that ParallelRunStep and parallel jobs take out of the script's arguments, with the key that does the same.
#: Sources: https://learn.microsoft.com/azure/machine-learning/reference-yaml-job-parallel#attributes-of-the-task-key,
#: and azureml-pipeline-core's _parallel_run_step_base.py for the names of version 1.
FLAGS: Final[Mapping[str, str]] = {
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
FLAGS_WITHOUT_A_KEY: Final = frozenset(
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

_CONVERT_JOB: Final = (
    "Write a batch deployment: its folder of code as code_configuration.code, its entry script as "
    "code_configuration.scoring_script, mini_batch_size and the error thresholds under settings."
)


@dataclass(frozen=True)
class OtherFile:
    """A type of Azure's YAML files that is not a batch deployment of a model.

    Attributes:
        description: noun phrase for messages.
        keys: top-level keys that only this type has.
        schema_words: parts of the names of its schemas, in lower case.
        next_step: how to get from this file to a batch deployment.
    """

    description: str
    keys: frozenset[str]
    schema_words: tuple[str, ...]
    next_step: str


JOB: Final = OtherFile(
    "a job or a component",
    frozenset({"command", "distribution", "experiment_name"}),
    ("job.schema", "component.schema"),
    _CONVERT_JOB,
)
PIPELINE_DEPLOYMENT: Final = OtherFile(
    "a pipeline component deployment",
    frozenset({"component", "job_definition"}),
    ("pipelinecomponentbatchdeployment",),
    f"Convert the step that scores. {_CONVERT_JOB}",
)
#: For the names of schemas that no other type matches.
OTHER: Final = OtherFile("another of Azure's files", frozenset(), ("",), "Give the file of a batch deployment.")
#: In the order in which they are compared with a file.
OTHER_FILES: Final = (
    OtherFile(
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
    OtherFile(
        "a pipeline job",
        frozenset({"jobs", "pipeline"}),
        ("pipelinejob", "pipelinecomponent.schema"),
        f"Convert the step that scores. {_CONVERT_JOB}",
    ),
    PIPELINE_DEPLOYMENT,
    OtherFile(
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
    JOB,
    OtherFile(
        "a batch endpoint",
        frozenset({"auth_mode", "defaults"}),
        ("endpoint.schema",),
        "Give the file of one of its deployments.",
    ),
)


def is_azure_schema(schema: object) -> bool:
    """Whether a ``$schema`` is one of Azure ML's."""
    return isinstance(schema, str) and _SCHEMA.search(schema) is not None


def is_batch_deployment_schema(name: str) -> bool:
    """Whether the last part of a ``$schema`` is the name of Azure's schema of batch deployments."""
    return _BATCH_DEPLOYMENT.search(name) is not None


def is_azure_reference(path: object) -> bool:
    """Whether a path is an ``azureml:`` reference, which only Azure can resolve."""
    return isinstance(path, str) and path.startswith("azureml:")


def name_and_version(reference: str) -> dict[str, str]:
    """Return the name and version of the model that an ``azureml:`` reference has, without those that it lacks.

    >>> name_and_version("azureml:heart:3"), name_and_version("azureml:heart@latest")
    ({'name': 'heart', 'version': '3'}, {'name': 'heart'})
    """
    match = _REFERENCE.match(reference) or _REGISTRY_REFERENCE.match(reference)
    return {} if match is None else {key: value for key, value in match.groupdict().items() if value is not None}
