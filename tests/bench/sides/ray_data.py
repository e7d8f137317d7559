"""Ray Data: map_batches with actors that hold the model."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import ray

from tests.bench.cases import Case
from tests.bench.predictor import BATCH, load_predict, load_script, score_batch

_FILES_OF_A_CALL: Final = 10
_CORES: Final = os.cpu_count() or 1
_STORE: Final = 2 << 30


class RowScorer:
    """An actor that scores tables."""

    def __init__(self, case: Case) -> None:
        self._case, self._predict = case, load_predict(case)

    def __call__(self, table: pa.Table) -> pa.Table:
        return pa.Table.from_batches(
            score_batch(self._predict, batch, self._case) for batch in table.combine_chunks().to_batches()
        )


class FileScorer:
    """An actor that scores files."""

    def __init__(self, case: Case) -> None:
        self._run = load_script(case)

    def __call__(self, table: pa.Table) -> pa.Table:
        return pa.Table.from_pylist(list(self._run(table.column("item").to_pylist())))


class Ray:
    """A local cluster of one node."""

    def __init__(self, case: Case) -> None:
        self._case = case
        # Actors keep one CPU each, so readers and writers need further ones; all share the same cores.
        ray.init(
            num_cpus=2 * _CORES,
            include_dashboard=False,
            object_store_memory=_STORE,
            _node_ip_address="127.0.0.1",
            logging_level=logging.WARNING,
        )
        ray.data.DataContext.get_current().enable_progress_bars = False

    def turn_to(self, case: Case, name: str) -> None:  # noqa: ARG002 - it is one side
        self._case = case

    def run(self, source: str, output: str) -> dict[str, Any]:
        case = self._case
        if case.items == "rows":
            columns = list(dict.fromkeys([*case.carry, *case.features]))
            data, size = ray.data.read_parquet(source, columns=columns), BATCH
        else:
            paths = [entry.path for entry in os.scandir(source)]
            data, size = ray.data.from_items(paths), _FILES_OF_A_CALL
        scored = data.map_batches(
            RowScorer if case.items == "rows" else FileScorer,
            fn_constructor_args=(case,),
            batch_format="pyarrow",
            batch_size=size,
            compute=ray.data.ActorPoolStrategy(size=_CORES),
        )
        Path(output).mkdir()
        scored.write_parquet(output)
        return {}

    def stop(self) -> None:
        ray.shutdown()


def start(case: Case, name: str) -> Ray:  # noqa: ARG001 - each side gets its name
    return Ray(case)
