"""Detect Azure ML YAML files that are not batch deployments, such as jobs and online deployments.

Runs on the driver.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sparkscore.config.azure_keys import (
    JOB,
    OTHER,
    OTHER_FILES,
    PIPELINE_DEPLOYMENT,
    OtherFile,
    is_azure_schema,
    is_batch_deployment_schema,
)
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, names


def refuse_other_files(path: Path, tree: Mapping[str, object]) -> None:
    """Raise an error if a YAML file looks like an Azure ML file that is not a batch deployment.

    Args:
        path: path of the file, for the message.
        tree: contents of the file, as nested dictionaries.

    Raises:
        ConfigError: the file is, for example, an online deployment or a job. The code is ``CONFIG_KIND``. The message
            names the type of the file and says how to write a batch deployment instead.
    """
    found, reason = _type_of(tree)
    if found is not None:
        raise ConfigError(
            code=ErrorCode.CONFIG_KIND,
            what=f"file '{path}'",
            got=f"{found.description} ({reason})",
            expected="a batch deployment of a model",
            next_step=found.next_step,
        )


def _type_of(tree: Mapping[str, object]) -> tuple[OtherFile | None, str]:
    """Return the type of an Azure ML file that is not a batch deployment, and how the type was recognized.

    The second value is a phrase for the error message. If no type matches, return None and an empty string.
    """
    schema = tree.get("$schema")
    if isinstance(schema, str) and is_azure_schema(schema):
        name = schema.rsplit("/", 1)[-1]
        for other in (*OTHER_FILES, OTHER):
            if any(word in name.lower() for word in other.schema_words) and not is_batch_deployment_schema(name):
                return other, f"its $schema is '{name}'"
    if tree.get("type") == "pipeline":
        return PIPELINE_DEPLOYMENT, "its type is 'pipeline'"
    for other in OTHER_FILES:
        found = other.keys & tree.keys()
        if found:
            return other, f"it has {names(found)}"
    inputs = {"inputs", "outputs"} & tree.keys()
    if inputs and not {"model", "code_configuration"} & tree.keys():
        return JOB, f"it has {names(inputs)}"
    return None, ""
