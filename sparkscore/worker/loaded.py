"""Keep loaded scorers in a worker process, so that later tasks need not load them again. Runs on the workers.

Each scorer is kept together with its engine. The engine loads the scorer and scores mini-batches, either in the
worker's own process or in a child process.
"""

from __future__ import annotations

import gc
import os
import socket
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from sparkscore.outcome import Failure
from sparkscore.scorers.specs import is_without_code
from sparkscore.stage.report import WorkerState
from sparkscore.worker.child.supervisor import LOAD_ENDED, ChildEngine
from sparkscore.worker.engine import Engine, EngineSpec, LocalEngine
from sparkscore.worker.freed_memory import keep_freed_memory

# Seconds to wait before each try to load a scorer. Loading is retried only if the child was killed while loading: the
# cause may be gone by then, for example if other processes had used up the host's memory.
_WAITS_S: Final = (0.0, 1.0, 3.0)


@dataclass
class LoadedEngine:
    """An engine that this worker process keeps for a run, with the result of loading its scorer.

    Attributes:
        key: key of the engine's `EngineSpec`.
        worker: name of this worker process in reports: host, process id and a random suffix.
        engine: the engine.
        failure: why the scorer could not be loaded, or None. After a failure, loading is not tried again.
        loads: number of times the scorer was loaded, including failed loads.
        warnings: warnings for the user from the last load, one sentence each.
        models: digests of the model files from the last load. May be empty.
        is_proven: whether the scorer is known to return one element per item.
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
        """Load the scorer if it is not loaded yet, or if its process has ended.

        If the process ends during loading, loading is tried up to two more times. A final failure is stored in
        ``self.failure``, and later calls do nothing.
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
        """Return the state of this worker process for a mini-batch's report."""
        return WorkerState(self.worker, self.loads, self.warnings, self.models, self.failure is None)


#: Number of engines that a worker process keeps for its next tasks.
ROOM: Final = 2
#: The same while it computes SQL functions. A query may use several functions in each batch of rows.
ROOM_FOR_FUNCTIONS: Final = 8


class KeptEngines:
    """A small cache of a worker process's engines, keyed by `EngineSpec.key`.

    If the cache is full, `get` closes the least recently used engine before adding another. Before adding a
    `LocalEngine`, it closes any other `LocalEngine`, because their scripts may import different modules of the same
    name. Models whose files hold no code have no modules, so any number of them can be loaded.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._by_key: dict[str, LoadedEngine] = {}
        self._alone: set[str] = set()

    def get(self, spec: EngineSpec, room: int = 0) -> LoadedEngine:
        """Return the engine for this spec, creating it and loading its scorer if necessary.

        No exception is raised if loading fails; the returned engine contains the failure.

        Args:
            spec: the specification of the engine.
            room: number of engines to keep, or 0 for the number that was given when the cache was created.
        """
        loaded = self._by_key.pop(spec.key, None)
        if loaded is None:
            self._make_room(room or self._room, is_alone=_is_alone(spec))
            loaded = _new_engine(spec)
            if _is_alone(spec):
                self._alone = {spec.key}
        # Dictionaries keep insertion order, so the last engine is the most recently used one.
        self._by_key[spec.key] = loaded
        loaded.ensure()
        return loaded

    def keep(self, loaded: LoadedEngine) -> None:
        """Add an engine whose scorer is already loaded. No other engine is closed, even if the cache is full."""
        self._by_key[loaded.key] = loaded
        if isinstance(loaded.engine, LocalEngine):
            self._alone.add(loaded.key)

    def _make_room(self, room: int, *, is_alone: bool) -> None:
        if is_alone:
            self._close([key for key in self._by_key if key in self._alone])
            self._alone = set()
        self._close(list(self._by_key)[: max(0, len(self._by_key) + 1 - room)])

    def _close(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._by_key.pop(key).engine.close()


def _is_alone(spec: EngineSpec) -> bool:
    """Return whether an engine must be the only one of its kind that is loaded in this process."""
    return spec.child is None and (not is_without_code(spec.scorer) or bool(spec.variables))


def _new_engine(spec: EngineSpec) -> LoadedEngine:
    spec.remember_secrets()
    worker = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    engine = LocalEngine(spec) if spec.child is None else ChildEngine(spec, spec.child)
    return LoadedEngine(spec.key, worker, engine)


# Spark reuses worker processes for many tasks (`spark.python.worker.reuse`), but does not pass objects from one task to
# the next. Only a module variable is visible to all tasks.
_engines = KeptEngines()


def engine_of_this_process(spec: EngineSpec, room: int = 0) -> LoadedEngine:
    """Return this worker process's engine for the spec, creating it and loading its scorer if necessary.

    The engine is kept for later tasks. No exception is raised if loading fails; the returned engine contains the
    failure.

    Args:
        spec: the specification of the engine.
        room: number of engines to keep, or 0 for the usual number.
    """
    _prepare_process()
    loaded = _engines.get(spec, room)
    if spec.child is None and is_without_code(spec.scorer):
        _keep_modules_of(type(spec.scorer).__name__)
    return loaded


def engine_of_function(spec: EngineSpec) -> LoadedEngine:
    """Return this worker process's engine for an SQL function, like `engine_of_this_process`.

    More engines are kept, so that a query with several functions does not load their models for each batch of rows.
    """
    return engine_of_this_process(spec, ROOM_FOR_FUNCTIONS)


@cache
def _prepare_process() -> None:
    """Make this process fit for many mini-batches; called once, before the first scorer is loaded.

    All objects that it has so far, which are the modules that it has imported, are kept out of garbage collection.
    Spark collects garbage in a worker after each task, which takes 20 to 30 ms for these modules. Models and what
    scripts make are still collected.
    """
    gc.freeze()
    keep_freed_memory()


@cache
def _keep_modules_of(scorer: str) -> None:  # noqa: ARG001 - once for each kind
    """Keep a library's modules out of garbage collection, too, after a model without code was loaded with it.

    XGBoost imports pandas, SciPy and scikit-learn, which takes the collector as long as all that was there before.
    """
    gc.freeze()
