"""What a worker process keeps between tasks: the engine of the run that it works for (worker)."""

from __future__ import annotations

import os
import socket
import time
import uuid
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


_kept: LoadedEngine | None = None


def engine_of_this_process(spec: EngineSpec) -> LoadedEngine:
    """Load the engine, or give the one that this worker process has loaded under this key.

    Source: Spark keeps worker processes between tasks (``spark.python.worker.reuse``), so a module's state lasts.
    """
    global _kept  # noqa: PLW0603 - the state of the process is what this function is about
    if _kept is not None and _kept.key != spec.key:
        _kept.engine.close()
        _kept = None
    if _kept is None:
        spec.remember_secrets()
        worker = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        engine = LocalEngine(spec) if spec.child is None else ChildEngine(spec, spec.child)
        _kept = LoadedEngine(spec.key, worker, engine)
    _kept.ensure()
    return _kept
