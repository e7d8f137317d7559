"""Executors that are killed, in a local cluster of two; the storm kills them by the dozen."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import pytest

from tests.storm.driver import Life
from tests.storm.processes import wait_until, with_role
from tests.storm.rig import Kind, Rig, SparkHome
from tests.storm.spark_home import link_spark
from tests.storm.verdict import judge

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="executors are found in /proc")
MINI_BATCHES = 80


@pytest.mark.parametrize(
    ("output_format", "victims"), [("delta", 1), pytest.param("parquet", 2, marks=pytest.mark.faults)]
)
def test_4_and_6_executors_that_are_killed_cost_what_was_in_flight(
    output_format: Literal["delta", "parquet"], victims: int, tmp_path: Path
) -> None:
    link_spark(tmp_path / "home")
    rig = Rig(tmp_path / "rig", Kind("rows", "script", output_format), MINI_BATCHES, SparkHome(tmp_path / "home", {}))
    life = Life(rig, 0)
    try:
        assert wait_until(lambda: rig.done() > 0.2 or not life.is_alive, 120), life.told
        executors = with_role("executor", life.processes())
        assert [victim.kill() for victim in executors[:victims]] == [True] * victims
        assert wait_until(lambda: life.has_told or not life.is_alive, 120), life.told
        assert life.has_told, life.told
        verdict = judge(rig, life.record())
    finally:
        life.bury()

    assert verdict.findings == []
    assert verdict.rescored is not None
    # The probe, and a chunk and a mini-batch of each task that was in flight.
    assert verdict.rescored * MINI_BATCHES <= 1 + 2 * 5
