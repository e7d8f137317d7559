"""The deployment: what is scored, with which model, and how; read from a file, frozen. Runs on the driver."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from pydantic import ConfigDict, Field

from sparkscore.config.field_types import Recorded, Section, Text, VariableName, Written
from sparkscore.config.mini_batch_size import MAX_INT, ItemKind, MiniBatchSize, default_mini_batch_size
from sparkscore.config.not_yet import UNAPPLIED, unapplied
from sparkscore.config.recorded import open_part, without_secrets
from sparkscore.config.sections import (
    CodeConfiguration,
    Environment,
    Input,
    Model,
    Output,
    Python,
    Resources,
    Settings,
)
from sparkscore.redaction import secrets_among

AZURE_SCHEMA: Final = re.compile(r"azuremlschemas", re.IGNORECASE)

# Azure's keys that mean something to Azure's service only. A key stands for everything below it.
_WITHOUT_MEANING: Final = (
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

# The defaults that change the result or its place; the run prints those that it chose.
_PRINTED_DEFAULTS: Final = (
    "settings.error_threshold",
    "settings.mini_batch_error_threshold",
    "settings.retry_settings.max_retries",
    "settings.retry_settings.timeout",
    "settings.max_concurrency_per_instance",
    "output.format",
    "output.mode",
)


class Deployment(Section):
    """A deployment of a model for batch scoring. Azure ML's batch deployment files are accepted as they are."""

    model_config = ConfigDict(title="sparkscore deployment")

    azure_schema: Text | None = Field(
        default=None, alias="$schema", description="Schema of this file. Azure's makes Azure's defaults hold."
    )
    name: Text | None = Field(default=None, description="Name of the deployment.")
    description: str | None = Field(default=None, description="What the deployment is for.")
    type: Literal["model"] | None = Field(default=None, description="Azure's kind of batch deployment; only model.")
    model: Model | None = Field(default=None, description="The model: its path, or a mapping.")
    models: dict[str, Model] = Field(
        default_factory=dict,
        description="Further models by name, each a path or a mapping like model; the scoring script finds them in "
        "AZUREML_MODEL_DIR as NAME/VERSION/FILE, and by Model.get_model_path(NAME).",
    )
    code_configuration: CodeConfiguration | None = Field(default=None, description="The scoring script.")
    environment_variables: dict[VariableName, Written] = Field(
        default_factory=dict, description="Environment variables of the scoring script."
    )
    settings: Settings = Field(default_factory=Settings, description="How the input is cut and what failures do.")
    input: Input = Field(default_factory=Input, description="What is scored.")
    output: Output = Field(default_factory=Output, description="Where the result goes.")
    columns: dict[str, Text] = Field(
        default_factory=dict,
        description="New names of columns in the result, {old: new}; also of carried input columns.",
    )
    publish: Literal["auto", "audit"] = Field(
        default="auto", description="auto: a successful result is published. audit: it is held until you publish it."
    )
    isolation: Literal["process", "none"] | None = Field(
        default=None,
        description="process: the script runs in a supervised child process of its run. none: in Spark's worker, which "
        "what the script changes, breaks or forks can reach, and the next run with it: not protected. A script that "
        "ends that process, or closes its descriptors, ends the run as WORKER_DIED; a hang has no timeout.",
    )
    chunk_size: int | None = Field(
        default=None,
        ge=1,
        le=MAX_INT,
        description="Items that a work unit scores until it says so durably, so that a crash costs no more; "
        "it does so every 30 seconds in any case.",
    )
    python: Python = Field(default_factory=Python, description="The Python of Spark's workers.")
    trust: Literal["code"] | None = Field(
        default=None, description="code: a model file that runs code when it is loaded may be loaded."
    )
    resources: Resources = Field(default_factory=Resources, description="Azure's machines of a job.")
    environment: Environment | None = Field(
        default=None,
        description="Azure's environment, as a reference or a mapping. Only its conda file has an effect.",
    )
    compute: Text | None = Field(default=None, description="Azure's compute target; recorded.")
    endpoint_name: Text | None = Field(default=None, description="Azure's endpoint; recorded.")
    id: Text | None = Field(default=None, description="Azure's identifier of the deployment; recorded.")
    tags: Recorded | None = Field(default=None, description="Azure's tags; recorded.")
    properties: Recorded | None = Field(default=None, description="Azure's properties; recorded.")
    creation_context: Recorded | None = Field(default=None, description="Azure's note of who made it; recorded.")
    provisioning_state: Text | None = Field(default=None, description="Azure's state of the deployment; recorded.")

    @property
    def is_azure(self) -> bool:
        """Whether ``$schema`` names Azure's schema, so that Azure's defaults hold."""
        return names_azure_schema(self.azure_schema)

    @property
    def is_no_code(self) -> bool:
        """Whether this is what Azure calls a no-code deployment: its model gets the input file by file."""
        return self.is_azure and self.code_configuration is None

    def mini_batch_size_for(self, kind: ItemKind) -> MiniBatchSize:
        """Give the size of a mini-batch for an input of files or of rows."""
        size = self.settings.mini_batch_size or default_mini_batch_size(kind, is_azure=self.is_azure)
        return size.of_table() if self.is_azure and kind == "rows" else size

    def chosen_defaults(self, kind: ItemKind | None = None) -> dict[str, object]:
        """Tell the values that the file and the options left to sparkscore, by dotted key.

        Settings that this version does not act on are left out: their default is not what the run does.

        Args:
            kind: what the input turned out to be; the size of a mini-batch depends on it.
        """
        chosen = self.chosen()
        values = {key: self._value(key) for key in _PRINTED_DEFAULTS if key not in chosen and key not in UNAPPLIED}
        if self.settings.mini_batch_size is None:
            values["settings.mini_batch_size"] = self._default_size(kind)
        return dict(sorted(values.items()))

    def ignored_keys(self) -> list[str]:
        """Name the keys that are recorded and have no meaning outside Azure."""
        chosen = self.chosen()
        return [key for key in _WITHOUT_MEANING if any(is_below(name, key) for name in chosen)]

    def unapplied_settings(self) -> dict[str, object]:
        """Tell the chosen settings that this version records and does not act on, by dotted key."""
        return unapplied(self.chosen())

    def chosen(self) -> dict[str, object]:
        """Tell every value that the file or the options chose, by dotted key, as JSON has it."""
        return dict(_leaves(self.model_dump(mode="json", by_alias=True, exclude_unset=True), self))

    def effective(self, kind: ItemKind | None = None) -> dict[str, object]:
        """Give the whole deployment with its defaults as a plain mapping that a deployment file may hold.

        Secrets are masked, in values that look like one and under keys that are called like one; places, names of
        columns and all else that a later command reads from the record is exact.

        Args:
            kind: what the input turned out to be; the default size of a mini-batch depends on it.
        """
        return without_secrets(self.whole(kind))

    def whole(self, kind: ItemKind | None = None) -> dict[str, object]:
        """Give the same with its secrets: what decides a run's identity, and is stored nowhere."""
        whole = self
        if kind is not None:
            settings = self.settings.model_copy(update={"mini_batch_size": self.mini_batch_size_for(kind)})
            whole = self.model_copy(update={"settings": settings})
        return whole.model_dump(mode="json", by_alias=True, exclude_none=True)

    def secrets(self) -> list[str]:
        """Give the values that the deployment passes under a secret's name, which no message or log may show."""
        return secrets_among(open_part(self.whole()))

    def _value(self, key: str) -> object:
        value: object = self
        for part in key.split("."):
            value = getattr(value, part)
        return value

    def _default_size(self, kind: ItemKind | None) -> str:
        kinds: tuple[ItemKind, ...] = ("files", "rows") if kind is None else (kind,)
        return "; ".join(_size_text(self.mini_batch_size_for(each), each) for each in kinds)


def names_azure_schema(schema: object) -> bool:
    """Tell whether a ``$schema`` is one of Azure ML's."""
    return isinstance(schema, str) and AZURE_SCHEMA.search(schema) is not None


def is_below(key: str, prefix: str) -> bool:
    """Tell whether a dotted key is another one or lies below it.

    >>> is_below("tags.team", "tags"), is_below("tagsoup", "tags")
    (True, False)
    """
    return key == prefix or key.startswith(f"{prefix}.")


def _leaves(tree: Mapping[str, Any], section: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in tree.items():
        inner = _field(section, key)
        if isinstance(inner, Section) and value:
            yield from _leaves(value, inner, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", value


def _field(section: object, key: str) -> object:
    return getattr(section, key, None) if isinstance(section, Section) else None


def _size_text(size: MiniBatchSize, kind: ItemKind) -> str:
    return f"{size.items} {kind}" if size.items is not None else f"{size} of {kind}"
