"""Define the keys of Azure ML's YAML files, where they may be written, and their defaults. Runs on the driver.

Sources: https://learn.microsoft.com/azure/machine-learning/reference-yaml-deployment-batch and the JSON schema,
https://azuremlschemas.azureedge.net/latest/batchDeployment.schema.json.
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

#: Settings that are at the top level in Azure's older schema, and below ``settings`` in sparkscore.
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
#: Alternative positions of keys in a file, each with the key's position in sparkscore. The last two are from Azure's
#: newer schema.
MOVED: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    **{(key,): ("settings", key) for key in FLAT_SETTINGS},
    ("settings", "environment_variables"): ("environment_variables",),
    ("settings", "instance_count"): ("resources", "instance_count"),
}

#: Keys that only Azure uses. Each also stands for all keys below it. The only one of these that sparkscore reads is
#: ``environment.conda_file``.
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
#: Keys that describe a deployment to people and to Azure. Expressions (``${{…}}``) below them do not affect a run.
DESCRIPTIONS: Final = frozenset({"description", "environment", "properties", "tags"})
#: Sections that may have any keys: names chosen by the user, or keys that are recorded without being checked.
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

#: Azure's defaults, which apply to a file with Azure's ``$schema``.
SETTINGS_DEFAULTS: Final = {"error_threshold": -1, "mini_batch_error_threshold": -1}
RETRY_DEFAULTS: Final = {"max_retries": 3, "timeout": 30}

#: A key of Azure's parallel jobs that lists columns. All rows in a ``run()`` call have equal values in these columns.
PARTITION_KEYS: Final = "partition_keys"
#: Flags that ParallelRunStep and parallel jobs apply to the job instead of passing them to the script. Each is mapped
#: to the deployment key with the same effect.
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
    """A type of Azure ML YAML file that sparkscore cannot run, such as a pipeline job.

    Attributes:
        description: name of the type in messages, such as "a pipeline job".
        keys: top-level keys that identify a file of this type.
        schema_words: lower-case strings that identify this type in the last part of ``$schema``.
        next_step: how to write a batch deployment instead.
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
#: Matches any other Azure ``$schema``, except that of batch deployments.
OTHER: Final = OtherFile("another of Azure's files", frozenset(), ("",), "Give the file of a batch deployment.")
#: The first type that matches a file is reported.
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
    """Return whether a ``$schema`` value is the URL of an Azure ML schema, that is, contains ``azuremlschemas``."""
    return isinstance(schema, str) and _SCHEMA.search(schema) is not None


def is_batch_deployment_schema(name: str) -> bool:
    """Return whether a schema file, such as ``batchDeployment.schema.json``, is for batch deployments."""
    return _BATCH_DEPLOYMENT.search(name) is not None


def is_azure_reference(path: object) -> bool:
    """Return whether a path is an ``azureml:`` reference, which only Azure can resolve."""
    return isinstance(path, str) and path.startswith("azureml:")


def name_and_version(reference: str) -> dict[str, str]:
    """Parse the model's name and version from an ``azureml:`` reference.

    The version is omitted if the reference has no version, or has a label such as ``@latest`` instead. If the reference
    is not a model reference, the dictionary is empty.

    >>> name_and_version("azureml:heart:3"), name_and_version("azureml:heart@latest")
    ({'name': 'heart', 'version': '3'}, {'name': 'heart'})
    """
    match = _REFERENCE.match(reference) or _REGISTRY_REFERENCE.match(reference)
    return {} if match is None else {key: value for key, value in match.groupdict().items() if value is not None}
