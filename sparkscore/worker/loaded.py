"""Keep loaded engines in a worker process, so that its next tasks do not load them again (worker)."""

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

# If the process is killed while it loads, loading is tried again after these waits. The reason may have passed by then:
# other processes may have needed the host's memory, for example.
_WAITS_S: Final = (0.0, 1.0, 3.0)


@dataclass
class LoadedEngine:
    """An engine that this worker process keeps for a run.

    Attributes:
        key: the key of the `EngineSpec` that the engine was loaded for.
        worker: name of this worker process, unique in the run even if a process id is used twice.
        engine: the engine.
        failure: why the scorer did not load; this process does not try it again.
        loads: how often this process has loaded the scorer.
        warnings: warnings for the user, a sentence each.
        models: digests of the models' files that this process has loaded.
        is_proven: whether a call with several items returned one element for each.
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
        """Load the scorer if it is not loaded, the first time or after its process has ended.

        A scorer that failed to load is not loaded again, unless its process ended while it loaded: something outside
        may have killed it.
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
        """Return what a report says about this worker process."""
        return WorkerState(self.worker, self.loads, self.warnings, self.models, self.failure is None)


#: How many engines a worker process keeps; a query may use two models.
ROOM: Final = 2


class KeptEngines:
    """A small cache of the loaded engines of a worker process, by key.

    When the cache is full, the engine that was used least recently is closed. At most one engine scores in the worker's
    own process, because two scripts may have modules with the same name.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._by_key: dict[str, LoadedEngine] = {}

    def get(self, spec: EngineSpec) -> LoadedEngine:
        """Return the engine with the spec's key; load it if the cache does not have it."""
        loaded = self._by_key.pop(spec.key, None)
        if loaded is None:
            self._make_room(is_own_process=spec.child is None)
            loaded = _new_engine(spec)
        # A dictionary keeps the order of insertion, so the last one is the one that was used last.
        self._by_key[spec.key] = loaded
        loaded.ensure()
        return loaded

    def keep(self, loaded: LoadedEngine) -> None:
        """Add an engine that is loaded already."""
        self._by_key[loaded.key] = loaded

    def _make_room(self, *, is_own_process: bool) -> None:
        """Close the engines that must go before another one is added."""
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


# Spark reuses worker processes for many tasks (`spark.python.worker.reuse`), but passes no object from one task to the
# next. Only a variable of a module is visible to both.
_engines = KeptEngines()


def engine_of_this_process(spec: EngineSpec) -> LoadedEngine:
    """Return the loaded engine for a spec; this worker process loads it once and keeps it."""
    return _engines.get(spec)
