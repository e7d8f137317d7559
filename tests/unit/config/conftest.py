from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Final, TypeAlias

import pytest

Write: TypeAlias = Callable[[str], Path]

_SCHEMA: Final = "https://azuremlschemas.azureedge.net/latest"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(text: str) -> Path:
        path = tmp_path / "deployment.yml"
        path.write_text(dedent(text), encoding="utf-8")
        return path

    return _write


@pytest.fixture
def azure_flat() -> str:
    return dedent(f"""\
        $schema: {_SCHEMA}/batchDeployment.schema.json
        name: mnist-torch
        description: Digits by a convolutional network
        endpoint_name: mnist-batch
        model:
          name: mnist-classifier
          path: model
        code_configuration:
          code: code
          scoring_script: batch_driver.py
        environment:
          name: batch-torch-py38
          image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest
          conda_file: environment/conda.yaml
        compute: azureml:batch-cluster
        resources:
          instance_count: 2
        tags:
          team: vision
        max_concurrency_per_instance: 2
        mini_batch_size: 20
        output_action: append_row
        output_file_name: predictions.csv
        retry_settings:
          max_retries: 3
          timeout: 300
        error_threshold: -1
        logging_level: info
        """)


@pytest.fixture
def azure_nested() -> str:
    return dedent(f"""\
        $schema: {_SCHEMA}/modelBatchDeployment.schema.json
        name: heart-custom
        endpoint_name: heart-batch
        type: model
        model: azureml:heart-classifier:3
        code_configuration:
          code: code
          scoring_script: batch_driver.py
        environment: azureml:heart-env@latest
        compute: azureml:batch-cluster
        resources:
          instance_count: 1
        settings:
          max_concurrency_per_instance: 1
          mini_batch_size: 2
          output_action: append_row
          output_file_name: predictions.csv
          retry_settings:
            max_retries: 3
            timeout: 300
          error_threshold: -1
          logging_level: WARNING
          environment_variables:
            AZUREML_BI_TEXT_COLUMN: text
        """)
