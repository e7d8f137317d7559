from __future__ import annotations

import pyarrow as pa
import pytest

from sparkscore.config import Deployment
from sparkscore.errors import ConfigError
from sparkscore.run.columns import decide_columns
from sparkscore.worker import LineageValues

ADDED = ["y", "run_id", "model_name", "model_version", "scored_at", "source_file"]


def decide(partition_by: list[str]) -> None:
    deployment = Deployment.model_validate({"output": {"partition_by": partition_by}})
    decide_columns(deployment, pa.schema([("y", pa.int64())]), (), None, LineageValues("r", None, None))


def test_all_columns_cannot_be_partition_columns() -> None:
    with pytest.raises(ConfigError, match=r"PARTITION_COLUMNS.*all columns"):
        decide(ADDED)
    decide(ADDED[1:])
