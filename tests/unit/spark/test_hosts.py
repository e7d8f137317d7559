from __future__ import annotations

import pickle
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark import cloudpickle

from sparkscore.spark.hosts import _ask_function
from sparkscore.spark.shipping import has_other_hosts

_RUN = """
import json, pickle, sys
import pyarrow as pa
sys.modules['sparkscore'] = None
function = pickle.loads(sys.stdin.buffer.read())
for batch in function(iter([pa.RecordBatch.from_pydict({'id': [7]})])):
    print(batch.column(0).to_pylist()[0])
"""


@pytest.mark.parametrize(
    ("master", "is_one"),
    [("local", True), ("local[2,4]", True), ("local[*]", True), ("local-cluster[2,1,1024]", False), ("yarn", False)],
)
def test_only_a_local_master_has_its_workers_here(master: str, *, is_one: bool) -> None:
    spark: Any = SimpleNamespace(conf={"spark.master": master})

    assert has_other_hosts(spark) != is_one


def test_a_worker_without_this_package_answers_what_is_missing() -> None:
    function = _ask_function(pickle.dumps("never read"))

    sent = cloudpickle.dumps(function)  # type: ignore[no-untyped-call]
    told = subprocess.run([sys.executable, "-c", _RUN], input=sent, capture_output=True, check=True).stdout.decode()

    assert '"code": "PACKAGE_MISSING"' in told
    assert f'"path": "{sys.executable}"' in told
    assert "numpy" in told
