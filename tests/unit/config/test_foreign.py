from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sparkscore.config import load_deployment
from sparkscore.errors import ConfigError

Write = Callable[[str], Path]
_SCHEMAS = "$schema: https://azuremlschemas.azureedge.net/latest"


@pytest.mark.parametrize(
    ("text", "kind", "sign"),
    [
        (f"{_SCHEMAS}/managedOnlineDeployment.schema.json", "an online deployment", "managedOnlineDeployment"),
        (f"{_SCHEMAS}/kubernetesOnlineDeployment.schema.json", "an online deployment", "kubernetesOnlineDeployment"),
        ("model: m\ninstance_type: Standard_DS3_v2\ninstance_count: 1", "an online deployment", "'instance_type'"),
        ("model: m\nrequest_settings: {}", "an online deployment", "'request_settings'"),
        ("model: m\nliveness_probe: {}", "an online deployment", "'liveness_probe'"),
        ("model: m\napp_insights_enabled: true", "an online deployment", "'app_insights_enabled'"),
        ("type: pipeline\njobs: {a: {}}\ninputs: {}", "a pipeline component deployment", "'pipeline'"),
        ("jobs:\n  score: {}\ninputs: {}", "a pipeline job", "'jobs'"),
        (f"{_SCHEMAS}/pipelineJob.schema.json", "a pipeline job", "pipelineJob"),
        ("name: a\ncomponent: azureml:x:1", "a pipeline component deployment", "'component'"),
        (f"{_SCHEMAS}/pipelineComponentBatchDeployment.schema.json", "a pipeline component deployment", "pipeline"),
        ("task:\n  type: run_function\n  code: src", "a parallel job", "'task'"),
        ("entry_script: s.py\nsource_directory: src\nnode_count: 2", "a ParallelRunStep", "'entry_script'"),
        (f"{_SCHEMAS}/parallelComponent.schema.json", "a parallel job", "parallelComponent"),
        (f"{_SCHEMAS}/commandJob.schema.json", "a job or a component", "commandJob"),
        ("inputs: {a: b}\noutputs: {}", "a job or a component", "'inputs', 'outputs'"),
        ("command: python x.py", "a job or a component", "'command'"),
        (f"{_SCHEMAS}/batchEndpoint.schema.json", "a batch endpoint", "batchEndpoint"),
        ("name: a\nauth_mode: aad_token", "a batch endpoint", "'auth_mode'"),
        (f"{_SCHEMAS}/model.schema.json", "another of Azure's files", "model.schema.json"),
    ],
)
def test_another_kind_of_file_is_named_with_what_to_convert(text: str, kind: str, sign: str, write: Write) -> None:
    path = write(text)

    with pytest.raises(ConfigError) as caught:
        load_deployment(path)

    error = caught.value
    assert error.code == "CONFIG_KIND"
    assert str(path) in error.what
    assert kind in error.got
    assert sign in error.got
    assert error.expected == "a batch deployment of a model"
    assert error.next_step.endswith(".")


def test_a_misspelt_input_of_a_deployment_is_an_unknown_key(write: Write) -> None:
    with pytest.raises(ConfigError, match=r"CONFIG_UNKNOWN_KEY.*did you mean 'input'"):
        load_deployment(write("model: m\ninputs: {location: x}"))
