"""Start, watch and kill one driver process and the processes that it starts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from typing import Any, Final

from tests.storm.processes import MARK, Process, below, of_life, wait_until
from tests.storm.rig import Rig

_GONE_S: Final = 15


class Life:
    """A driver process, from its start to its end.

    Attributes:
        number: its number among the drivers of its campaign.
        was_killed: whether a kill ended it.
    """

    def __init__(self, rig: Rig, number: int) -> None:
        self.number, self.was_killed = number, False
        self._rig = rig
        self._mark = uuid.uuid4().hex
        self._out, self._err = (rig.folder / f"life-{number:03}.{name}" for name in ("out", "err"))
        with self._out.open("w") as out, self._err.open("w") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.storm.life", str(rig.options)],
                cwd=rig.folder,
                env=rig.environment({MARK: self._mark}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def is_alive(self) -> bool:
        """Whether the driver process is alive."""
        return self._process.poll() is None

    @property
    def has_ended_well(self) -> bool:
        """Whether the driver ended by itself with exit code 0."""
        return self._process.poll() == 0

    @property
    def has_told(self) -> bool:
        """Whether the driver has printed the record of a complete run. The process may still be alive."""
        return self._out.stat().st_size > 0

    @property
    def told(self) -> str:
        """The text that the driver wrote to standard error."""
        return self._err.read_text(errors="replace")

    @property
    def last_words(self) -> str:
        """The last line of the driver's standard error."""
        return next(iter(self.told.strip().splitlines()[::-1]), "nothing")

    def record(self) -> dict[str, Any]:
        """Return the run record that the driver printed."""
        record: dict[str, Any] = json.loads(self._out.read_text().splitlines()[-1])
        return record

    def processes(self) -> list[Process]:
        """Return the processes that descend from the driver."""
        return below(self._process.pid, self.everything())

    def everything(self) -> list[Process]:
        """Return all living processes of this driver: itself, its descendants, and those whose parents have ended."""
        return of_life(self._mark)

    def kill(self) -> bool:
        """Kill the driver's process group, and return whether that ended the driver."""
        if not self.is_alive:
            return False
        os.killpg(self._process.pid, signal.SIGKILL)
        self.was_killed = self._process.wait(30) == -signal.SIGKILL
        return self.was_killed

    def bury(self) -> list[Process]:
        """Wait until no process of this driver is alive; kill and return those that still are."""
        self.kill()
        wait_until(lambda: not self.everything(), _GONE_S)
        left = self.everything()
        for process in left:
            process.kill()
        # Dozens of copies of the jars would fill the disk.
        shutil.rmtree(self._rig.spark_home / "work", ignore_errors=True)
        for folder in self._rig.scratch:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(exist_ok=True)
        return left
