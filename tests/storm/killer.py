"""Start drivers for one run id until the run is complete, and kill them as planned."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.storm.driver import Life
from tests.storm.plan import Kill, Moment, Victim
from tests.storm.processes import below, wait_until, with_role
from tests.storm.rig import Rig

_STUCK_S: Final = 120
_MOST_FAILED_LIVES: Final = 3
_GONE_S: Final = 10
_POLL_S: Final = 0.02
_POLL_PUBLISHING_S: Final = 0.004


class Killer:
    """Start drivers, and kill them, their executors and their workers.

    Attributes:
        landed: the kills that ended a process, by victim.
        while_publishing: how many drivers were killed after they decided to publish and before they ended.
        lives: how many drivers were started.
        findings: what should not have happened, a sentence each.
    """

    def __init__(self, rig: Rig, kills: Sequence[Kill], random: Random) -> None:
        self.landed: Counter[Victim] = Counter()
        self.while_publishing = 0
        self.lives = 0
        self.findings: list[str] = []
        self._rig = rig
        self._kills = deque(kills)
        self._random = random
        self._failed_lives = 0
        self._start = time.monotonic()

    def run(self) -> dict[str, Any] | None:
        """Return the record of the run, or None if the run does not end."""
        while self._failed_lives < _MOST_FAILED_LIVES:
            self.lives += 1
            self._note(f"driver {self.lives} starts")
            life = Life(self._rig, self.lives)
            try:
                self._live(life)
                was_killed = life.was_killed
            finally:
                left = life.bury()
            self._note(f"driver {self.lives} is gone, {self._rig.done():.0%} is done")
            self.findings += [f"life {life.number}: process {p.pid} lived on: {p.command[-200:]}" for p in left]
            if was_killed:
                continue
            if life.has_ended_well:
                self._look_for_tracebacks(life)
                return life.record()
            self._failed_lives += 1
            self.findings.append(f"life {life.number} ended by itself, not well: {life.last_words}")
        return None

    def _live(self, life: Life) -> None:
        """Watch a driver until it ends, and carry out the kills that are planned for it."""
        signs = Signs(self._rig)
        moved, last = time.monotonic(), -1.0
        while life.is_alive:
            done = self._rig.done()
            if done != last:
                moved, last = time.monotonic(), done
            if time.monotonic() - moved > _STUCK_S and not life.has_told:
                self.findings.append(f"life {life.number} was stuck for {_STUCK_S} s with {done:.0%} done")
                return
            kill = self._kills[0] if self._kills else None
            if kill is not None and self._is_due(kill, life, signs, done) and self._strike(kill, life):
                self._kills.popleft()
            time.sleep(_POLL_S if kill is None or kill.moment in {"start", "scoring"} else _POLL_PUBLISHING_S)

    def _is_due(self, kill: Kill, life: Life, signs: Signs, done: float) -> bool:
        if kill.moment == "scoring":
            return done >= kill.share
        # What an earlier life has published is not published again: then the driver dies just after it has said so.
        return signs.are_new(kill.moment) or (kill.moment != "start" and life.has_told)

    def _strike(self, kill: Kill, life: Life) -> bool:
        """Kill the victim, count the kill if it ended a process, and return whether this kill is done."""
        if kill.victim == "driver":
            time.sleep(0 if life.has_told else kill.delay)
            return self._count(kill, has_landed=life.kill(), told=life.has_told)
        everything = life.processes()
        victims = with_role(kill.victim, everything)
        if not victims:  # they are on their way
            time.sleep(0.1)
            return False
        victim = self._random.choice(victims)
        theirs = below(victim.pid, everything)
        self._count(kill, has_landed=victim.kill(), told=False)
        if not wait_until(lambda: not any(process.is_alive for process in theirs), _GONE_S):
            orphans = [process.command[-100:] for process in theirs if process.is_alive]
            self.findings.append(f"{kill.victim} {victim.pid} was killed, and these live on: {orphans}")
        return True

    def _count(self, kill: Kill, *, has_landed: bool, told: bool) -> bool:
        self.landed[kill.victim] += has_landed
        self.while_publishing += has_landed and not told and kill.moment not in {"start", "scoring"}
        self._note(f"{kill} {'landed' if has_landed else 'missed'}{', the run was complete' if told else ''}")
        return True

    def _note(self, text: str) -> None:
        with (self._rig.folder / "campaign.log").open("a") as log:
            log.write(f"{time.monotonic() - self._start:7.2f} {text}\n")

    def _look_for_tracebacks(self, life: Life) -> None:
        if "Traceback (most recent call last)" in life.told:
            self.findings.append(f"life {life.number} ended well and showed a raw traceback: {life.last_words}")


class Signs:
    """The files that show how far a driver is; files of earlier drivers do not count."""

    def __init__(self, rig: Rig) -> None:
        stage, is_delta = rig.stage, rig.kind.output_format == "delta"
        self._patterns: dict[Moment, tuple[Path, str]] = {
            "start": (stage.parent, "*.lock"),
            "manifest": (rig.record.path, "manifest.json"),
            "quarantine": (rig.quarantine, "_delta_log") if is_delta else (stage, "published-*"),
            "predictions": (rig.output, "_delta_log") if is_delta else (stage, "published-*"),
        }
        self._before = {moment: self._seen(moment) for moment in self._patterns}

    def are_new(self, moment: Moment) -> bool:
        """Whether this driver has reached a moment."""
        return not self._seen(moment) <= self._before[moment]

    def _seen(self, moment: Moment) -> set[tuple[str, int, int]]:
        folder, pattern = self._patterns[moment]
        found = set()
        for path in folder.glob(pattern):
            try:
                state = path.stat()
            except FileNotFoundError:
                continue
            found.add((path.name, state.st_ino, state.st_mtime_ns))
        return found
