"""Write the report of a storm as a table for docs/reliability.md."""

from __future__ import annotations

import datetime as dt
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tests.storm.plan import Kill, Victim
from tests.storm.rig import Kind
from tests.storm.verdict import Verdict

#: The storm fails when a smaller share of the planned kills landed.
_LEAST_LANDED: Final = 0.9


@dataclass
class Campaign:
    """The result of one campaign."""

    kind: Kind
    mini_batches: int
    planned: Sequence[Kill]
    landed: Counter[Victim]
    while_publishing: int
    lives: int
    looks: int
    seconds: float
    verdict: Verdict
    findings: list[str]


@dataclass
class Storm:
    """The results of all campaigns of a storm."""

    seed: int
    is_long: bool
    campaigns: list[Campaign]
    seconds: float

    @property
    def command(self) -> str:
        """The command that repeats this storm."""
        return f"make {'torture' if self.is_long else 'storm'} SEED={self.seed}"

    @property
    def planned(self) -> Counter[str]:
        """The numbers of planned kills, by victim."""
        return _by_kind(Counter(kill.victim for campaign in self.campaigns for kill in campaign.planned))

    @property
    def landed(self) -> Counter[str]:
        """The numbers of kills that ended a process, by victim."""
        return _by_kind(sum((campaign.landed for campaign in self.campaigns), Counter[Victim]()))

    def findings(self) -> Iterator[str]:
        """Return everything that should not have happened, a sentence each."""
        for campaign in self.campaigns:
            for finding in (*campaign.findings, *campaign.verdict.findings):
                yield f"{campaign.kind}: {finding}"
        for kind, count in self.planned.items():
            if self.landed[kind] < _LEAST_LANDED * count:
                yield f"of {count} kills of {kind} {self.landed[kind]} landed: too few to prove anything"

    def markdown(self) -> str:
        """Return the report as Markdown: the table, then the findings."""
        landed, planned = self.landed, self.planned
        verdicts = [campaign.verdict for campaign in self.campaigns]
        rescored = [verdict.rescored for verdict in verdicts if verdict.rescored is not None]
        rows = {
            "date, machine": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, {os.cpu_count()} cores",
            "again": f"`{self.command}`",
            "mini-batches": f"{sum(campaign.mini_batches for campaign in self.campaigns):,}",
            "kills": ", ".join(f"{landed[kind]} of {planned[kind]} {kind}" for kind in planned),
            "drivers killed while they published": str(sum(campaign.while_publishing for campaign in self.campaigns)),
            "drivers it took": f"{sum(campaign.lives for campaign in self.campaigns)} for {len(self.campaigns)} runs",
            "lost, doubled": f"{sum(v.lost for v in verdicts)}, {sum(v.doubled for v in verdicts)}",
            "scored again": f"{max(rescored, default=0):.1%} of the items, at most" if rescored else "not known",
            "quarantined because every try was killed": str(sum(v.ended_by_kills for v in verdicts)),
            "looks of a reader at the tables": f"{sum(campaign.looks for campaign in self.campaigns):,}",
            "seconds": f"{self.seconds:.0f}",
        }
        lines = ["| kill storm | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
        findings = list(self.findings())
        lines += ["", *(f"- **violation** {finding}" for finding in findings)] if findings else []
        return "\n".join(lines) + "\n"


def _by_kind(victims: Counter[Victim]) -> Counter[str]:
    """Return the numbers of kills by victim; child processes that score count as workers."""
    counts = Counter[str]()
    for victim, count in victims.items():
        counts["workers" if victim in {"worker", "child"} else f"{victim}s"] += count
    return Counter({kind: counts[kind] for kind in ("drivers", "executors", "workers")})
