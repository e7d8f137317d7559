"""Read a deployment file and command-line options into a validated `Deployment`. Runs on the driver."""

from __future__ import annotations

from sparkscore.config.deployment import Deployment
from sparkscore.config.json_schema import deployment_json_schema
from sparkscore.config.load import (
    dotted,
    hold_secrets,
    load_deployment,
    load_valid_sections,
    parse_assignment,
    settings_tree,
)
from sparkscore.config.mini_batch_size import ItemType, MiniBatchSize
from sparkscore.config.recorded import hidden_values, refuse_secrets_in_locations
from sparkscore.config.sections import (
    CodeConfiguration,
    Environment,
    Input,
    Model,
    Output,
    Python,
    Resources,
    RetrySettings,
    Settings,
)

__all__ = [
    "CodeConfiguration",
    "Deployment",
    "Environment",
    "Input",
    "ItemType",
    "MiniBatchSize",
    "Model",
    "Output",
    "Python",
    "Resources",
    "RetrySettings",
    "Settings",
    "deployment_json_schema",
    "dotted",
    "hidden_values",
    "hold_secrets",
    "load_deployment",
    "load_valid_sections",
    "parse_assignment",
    "refuse_secrets_in_locations",
    "settings_tree",
]
