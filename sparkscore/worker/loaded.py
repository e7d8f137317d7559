"""What a worker process keeps between tasks: the engines that it has loaded (worker)."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sparkscore.outcome import Failure
from sparkscore.stage.report import WorkerState
from sparkscore.worker.child.supervisor import LOAD_ENDED, ChildEngine
from sparkscore.worker.engine import Engine, EngineSpec, LocalEngine

# A load whose process was killed is tried again after these waits: what killed it, such as others that needed its
# host's memory, may have passed by then.
_WAITS_S: Final = (0.0, 1.0, 3.0)


@dataclass
class LoadedEngine:
    """The engine that this worker process keeps for a run.

    Attributes:
        key: names the attempt at a run that it was loaded for.
        worker: name of this worker process in the run, unique also when process ids come round again.
        engine: the engine.
        failure: why it did not load; it is not tried again in this process.
        loads: how often this process has loaded it.
        warnings: what loading had to say.
        models: digests of the models' files, as this process has found them.
        is_proven: whether a call with several items gave an element for each.
    """

    key: str
    worker: str
    engine: Engine
    failure: Failure | None = None
    loads: int = 0
    warnings: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    is_proven: bool = False

    def ensure(self) -> None:
        """Load the scorer, the first time or after its process has ended; what did not load is not tried again.

        Unless its process ended meanwhile: that may have been killed from outside.
        """
        if self.engine.is_loaded or self.failure is not None:
            return
        for seconds in _WAITS_S:
            time.sleep(seconds)
            loaded = self.engine.load()
            self.loads += 1
            if loaded.failure is None or loaded.failure.code != LOAD_ENDED:
                break
        self.failure, self.warnings, self.models = loaded.failure, loaded.warnings, loaded.models

    def describe(self) -> WorkerState:
        """Describe this process for a report."""
        return WorkerState(self.worker, self.loads, self.warnings, self.models, self.failure is None)


#: How many models a worker process keeps loaded, such as those of one query.
ROOM: Final = 2


class KeptEngines:
    """The loaded engines of a worker process, by key.

    There is room for a few: the one that was used longest ago is closed when another needs its place. Of the engines
    that score in the worker's own process there is one at a time, since two scripts may have modules of one name.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._by_key: dict[str, LoadedEngine] = {}

    def get(self, spec: EngineSpec) -> LoadedEngine:
        """Return the engine of a key, loaded."""
        loaded = self._by_key.pop(spec.key, None)
        if loaded is None:
            self._make_room(is_own_process=spec.child is None)
            loaded = _new_engine(spec)
        # At the end of the order: the one that was used last.
        self._by_key[spec.key] = loaded
        loaded.ensure()
        return loaded

    def keep(self, loaded: LoadedEngine) -> None:
        """Take an engine that is there already."""
        self._by_key[loaded.key] = loaded

    def _make_room(self, *, is_own_process: bool) -> None:
        if is_own_process:
            self._close([key for key, kept in self._by_key.items() if isinstance(kept.engine, LocalEngine)])
        self._close(list(self._by_key)[: max(0, len(self._by_key) + 1 - self._room)])

    def _close(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._by_key.pop(key).engine.close()


def _new_engine(spec: EngineSpec) -> LoadedEngine:
    spec.remember_secrets()
    worker = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    engine = LocalEngine(spec) if spec.child is None else ChildEngine(spec, spec.child)
    return LoadedEngine(spec.key, worker, engine)


# Spark keeps worker processes between tasks (`spark.python.worker.reuse`) and hands nothing from one task to the next,
# so what is to outlive a task is kept by the process.
_engines = KeptEngines()


def engine_of_this_process(spec: EngineSpec) -> LoadedEngine:
    """Load the engine, or return the one that this worker process has loaded under this key."""
    return _engines.get(spec)
