"""Kill drivers, executors and workers at random, and check that no row is lost or doubled: python -m tests.storm."""

from __future__ import annotations

import argparse
import secrets
import shutil
import signal
import sys
import time
from pathlib import Path
from random import Random
from typing import Final

from tests.storm.killer import Killer
from tests.storm.plan import LONG, SHORT, Size, plan_kills
from tests.storm.reader import Reader
from tests.storm.report import Campaign, Storm
from tests.storm.rig import Kind, Rig, SparkHome
from tests.storm.spark_home import prepare_spark
from tests.storm.verdict import judge

KINDS: Final = (
    Kind("files", "script", "delta"),
    Kind("rows", "script", "parquet"),
    Kind("rows", "onnx", "delta"),
    Kind("rows", "onnx", "parquet"),
)
_FOLDER: Final = Path(__file__).parents[2] / ".make" / "storm"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--long", action="store_true", help="10,000 mini-batches instead of 2,000, and 1,300 kills")
    parser.add_argument("--seed", type=int, help="decides who is killed when; random when absent")
    parser.add_argument("--report", type=Path, help="file for the report in Markdown")
    options = parser.parse_args(arguments)
    if sys.platform != "linux":
        parser.error("the storm finds its victims in /proc, which only Linux has")
    # As with Ctrl-C, whoever is alive then is buried on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    _tell(f"seed {seed}")
    storm = _storm(seed, is_long=options.long)
    if options.report:
        options.report.write_text(storm.markdown(), encoding="utf-8")
    _tell(storm.markdown())
    findings = list(storm.findings())
    _tell(f"seed {seed}, {len(findings)} violations; again: {storm.command}")
    return 1 if findings else 0


def _storm(seed: int, *, is_long: bool) -> Storm:
    folder, start = _FOLDER / str(seed), time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    spark = prepare_spark(_FOLDER / "spark")
    storm = Storm(seed, is_long, [], 0.0)
    for kind in KINDS:
        campaign = _campaign(folder / str(kind).replace(", ", "-"), kind, seed, LONG if is_long else SHORT, spark)
        storm.campaigns.append(campaign)
        landed = ", ".join(f"{count} {victim}" for victim, count in sorted(campaign.landed.items()))
        _tell(f"{kind}: {campaign.lives} drivers in {campaign.seconds:.0f} s; killed: {landed}")
    storm.seconds = time.monotonic() - start
    if list(storm.findings()):
        _tell(f"what is left of it: {folder}")
    else:
        shutil.rmtree(folder)
    return storm


def _campaign(folder: Path, kind: Kind, seed: int, size: Size, spark: SparkHome) -> Campaign:
    start = time.monotonic()
    random = Random(f"{seed} {kind}")  # noqa: S311 - what a seed can repeat is the point
    kills = plan_kills(random, size, len(KINDS), has_children=kind.scorer == "script")
    rig = Rig(folder, kind, size.mini_batches // len(KINDS), spark)
    killer, reader = Killer(rig, kills, random), Reader(rig.output, rig.quarantine)
    reader.start()
    record = killer.run()
    verdict = judge(rig, record)
    findings = killer.findings + reader.finish(verdict.scored, verdict.quarantined)
    return Campaign(
        kind=kind,
        mini_batches=rig.mini_batches,
        planned=kills,
        landed=killer.landed,
        while_publishing=killer.while_publishing,
        lives=killer.lives,
        looks=reader.looks,
        seconds=time.monotonic() - start,
        verdict=verdict,
        findings=findings,
    )


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
