"""Define `Deployment`, the contents of a deployment file: model, script, input, output and settings.

Runs on the driver.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from pydantic import ConfigDict, Field

from sparkscore.config.azure_keys import WITHOUT_MEANING, is_azure_schema
from sparkscore.config.field_types import Recorded, Section, Text, VariableName, Written
from sparkscore.config.mini_batch_size import MAX_INT, ItemType, MiniBatchSize, default_mini_batch_size
from sparkscore.config.not_yet import UNAPPLIED, unapplied
from sparkscore.config.recorded import maskable_part, without_secrets
from sparkscore.config.sections import (
    CodeConfiguration,
    Environment,
    Input,
    Model,
    Output,
    Python,
    Resources,
    Settings,
    Sql,
)
from sparkscore.redaction import secrets_among

# Settings that affect the result or its location. If one of them is not set, a run logs its default.
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
    """A model deployment for batch scoring, in the format of Azure ML's batch deployment files with additional keys."""

    model_config = ConfigDict(title="sparkscore deployment")

    azure_schema: Text | None = Field(
        default=None, alias="$schema", description="Schema of this file. With Azure's, Azure's defaults are used."
    )
    name: Text | None = Field(default=None, description="Name of the deployment.")
    description: str | None = Field(default=None, description="What the deployment is for.")
    type: Literal["model"] | None = Field(default=None, description="Azure's type of batch deployment; only model.")
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
    settings: Settings = Field(default_factory=Settings, description="Size of mini-batches, and tolerated failures.")
    input: Input = Field(default_factory=Input, description="What is scored.")
    output: Output = Field(default_factory=Output, description="Where the result is written.")
    columns: dict[str, Text] = Field(
        default_factory=dict,
        description="New names for columns of the result, {old: new}, carried input columns included.",
    )
    publish: Literal["auto", "audit"] = Field(
        default="auto", description="auto: publish a successful result. audit: hold it until you publish it."
    )
    isolation: Literal["process", "none"] | None = Field(
        default=None,
        description="process: the script runs in a supervised child process. none: it runs in Spark's worker process, "
        "without protection: what the script changes there can affect later runs, a script that ends the process or "
        "closes its file descriptors ends the run with WORKER_DIED, and a hang has no timeout. When absent: none for "
        "ONNX and XGBoost files, which hold no code, unless retry_settings.timeout is set; otherwise process.",
    )
    chunk_size: int | None = Field(
        default=None,
        ge=1,
        le=MAX_INT,
        description="Number of items after which a task stores finished rows, so that a crash loses no more than "
        "these. Rows are also stored every 30 seconds.",
    )
    python: Python = Field(default_factory=Python, description="The Python of Spark's workers.")
    sql: Sql | None = Field(default=None, description="The SQL function that register_function makes of it.")
    trust: Literal["code"] | None = Field(
        default=None, description="code: allow model files that run code when they are loaded."
    )
    resources: Resources = Field(default_factory=Resources, description="Azure's machines for a job.")
    environment: Environment | None = Field(
        default=None,
        description="Azure's environment, as a reference or a mapping. Only its conda file has an effect.",
    )
    compute: Text | None = Field(default=None, description="Azure's compute target; recorded.")
    endpoint_name: Text | None = Field(default=None, description="Azure's endpoint; recorded.")
    id: Text | None = Field(default=None, description="Azure's identifier of the deployment; recorded.")
    tags: Recorded | None = Field(default=None, description="Azure's tags; recorded.")
    properties: Recorded | None = Field(default=None, description="Azure's properties; recorded.")
    creation_context: Recorded | None = Field(default=None, description="Azure's note of who created it; recorded.")
    provisioning_state: Text | None = Field(default=None, description="Azure's state of the deployment; recorded.")

    @property
    def is_azure(self) -> bool:
        """Whether ``$schema`` is one of Azure ML's schemas, in which case Azure's defaults apply."""
        return is_azure_schema(self.azure_schema)

    @property
    def is_no_code(self) -> bool:
        """Whether this is what Azure calls a no-code deployment: one with Azure's schema but no scoring script."""
        return self.is_azure and self.code_configuration is None

    def mini_batch_size_for(self, item_type: ItemType) -> MiniBatchSize:
        """Return the deployment's mini-batch size, or the default size if the deployment sets no size.

        If the deployment has Azure's ``$schema`` and the items are rows, a quoted number is a size in bytes.

        Args:
            item_type: whether the items are files or rows.
        """
        size = self.settings.mini_batch_size or default_mini_batch_size(item_type, is_azure=self.is_azure)
        return size.of_table() if self.is_azure and item_type == "rows" else size

    def chosen_defaults(self, item_type: ItemType | None = None) -> dict[str, object]:
        """Return the defaults of unset settings that affect the result or its location, by dotted key.

        A run logs these defaults.

        Args:
            item_type: whether the items are files or rows, which determines the default mini-batch size. If None, the
                sizes for both are returned in one string.
        """
        chosen = self.chosen()
        values = {key: self._value(key) for key in _PRINTED_DEFAULTS if key not in chosen and key not in UNAPPLIED}
        if self.settings.mini_batch_size is None:
            values["settings.mini_batch_size"] = self._default_size(item_type)
        return dict(sorted(values.items()))

    def ignored_keys(self) -> list[str]:
        """Return the Azure-only keys (`WITHOUT_MEANING`) that the deployment file or options set.

        For a key below one of these, such as ``environment.image``, the parent key ``environment`` is returned.
        """
        chosen = self.chosen()
        return [key for key in WITHOUT_MEANING if any(is_below(name, key) for name in chosen)]

    def unapplied_settings(self) -> dict[str, object]:
        """Return the settings that are set but have no effect in this version, by dotted key."""
        return unapplied(self.chosen())

    def chosen(self) -> dict[str, object]:
        """Return the settings that were set in the deployment file or by options, as JSON values keyed by dotted key.

        A mapping whose keys the user chooses, such as ``environment_variables``, is a single value.
        """
        return dict(_leaves(self.model_dump(mode="json", by_alias=True, exclude_unset=True), self))

    def effective(self, item_type: ItemType | None = None) -> dict[str, object]:
        """Return the deployment, including defaults, as a dictionary with the structure of a deployment file.

        The dictionary is stored in the run record, so its secrets are masked. Values that later commands read from the
        run record, such as locations and column names, are masked only if they are URIs that contain a secret.

        Args:
            item_type: whether the items are files or rows, which determines the default mini-batch size. If None, the
                default size is left out.
        """
        return without_secrets(self.whole(item_type))

    def whole(self, item_type: ItemType | None = None) -> dict[str, object]:
        """Return the deployment, including defaults, as a dictionary in which secrets are not masked.

        Do not store the dictionary, because of the secrets.

        Args:
            item_type: whether the items are files or rows, which determines the default mini-batch size. If None, the
                default size is left out.
        """
        whole = self
        if item_type is not None:
            settings = self.settings.model_copy(update={"mini_batch_size": self.mini_batch_size_for(item_type)})
            whole = self.model_copy(update={"settings": settings})
        return whole.model_dump(mode="json", by_alias=True, exclude_none=True)

    def secrets(self) -> list[str]:
        """Return the secrets that must be masked in logs, such as passwords in environment variables."""
        return secrets_among(maskable_part(self.whole()))

    def _value(self, key: str) -> object:
        value: object = self
        for part in key.split("."):
            value = getattr(value, part)
        return value

    def _default_size(self, item_type: ItemType | None) -> str:
        types: tuple[ItemType, ...] = ("files", "rows") if item_type is None else (item_type,)
        return "; ".join(_size_text(self.mini_batch_size_for(each), each) for each in types)


def is_below(key: str, prefix: str) -> bool:
    """Return whether a dotted key is `prefix` or a key below it.

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


def _size_text(size: MiniBatchSize, item_type: ItemType) -> str:
    return f"{size.items} {item_type}" if size.items is not None else f"{size} of {item_type}"
