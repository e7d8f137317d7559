"""Load a scoring script or a model into a scorer, and score mini-batches with it. Runs on the workers.

The driver pickles the scorer's specification and sends it to the workers, which create the scorer from it. A scorer is
loaded once, before its first mini-batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from sparkscore.minibatch import MiniBatch
from sparkscore.scorers.rows import RowsScorer
from sparkscore.scorers.script import ScriptScorer, ScriptSpec
from sparkscore.scorers.specs import FrameworkSpec, MlflowSpec, OnnxSpec, RowsSpec

__all__ = ["Scorer", "ScorerSpec", "ScriptSpec", "find_files", "load_scorer"]

ScorerSpec = ScriptSpec | MlflowSpec | FrameworkSpec | OnnxSpec | RowsSpec


class Scorer(Protocol):
    """The interface of all scorers."""

    def load(self) -> None:
        """Load the script or model. Runs on the worker, before the first mini-batch."""

    def score(self, mini_batch: MiniBatch) -> object:
        """Score a mini-batch and return the scores, which `sparkscore.returned.tabulate` converts to a table.

        Runs on the worker. A scorer that fails to score some or all of the items may return a `PartlyScored` instead.
        After a failure, the mini-batch may be scored again, as a whole or in halves.
        """

    def close(self) -> None:
        """Release the script or model. The scorer must not be used afterwards."""


def find_files(spec: ScorerSpec, folder: Callable[[], str]) -> ScorerSpec:
    """Return a copy of a specification in which the paths of the files sent by Spark are those on this host.

    Runs on the workers.

    Args:
        spec: the specification from the driver.
        folder: function that returns the absolute path of the folder that contains the files sent by Spark.
    """
    if isinstance(spec, RowsSpec):
        return spec
    if not isinstance(spec, ScriptSpec):
        return replace(spec, files=spec.files.found_in(folder))
    return replace(
        spec,
        code=spec.code if isinstance(spec.code, bytes) else spec.code.found_in(folder),
        model=None if spec.model is None else spec.model.found_in(folder),
        models=tuple(model.found_in(folder) for model in spec.models),
    )


def load_scorer(spec: ScorerSpec) -> Scorer:
    """Create a scorer from its specification, load its script or model, and return the scorer.

    Runs on the worker. If loading fails, the scorer is closed.

    Raises:
        ScorerFailedError: the user's script or model raised an exception while it was loaded.
        SparkscoreError: sparkscore itself found an error. For example, the script has no ``run()``, a package is
            missing, or the model's files have changed.
    """
    scorer = _make_scorer(spec)
    try:
        scorer.load()
    # The model's folders must be removed after any exception, even an interrupt.
    except BaseException:
        scorer.close()
        raise
    return scorer


def _make_scorer(spec: ScorerSpec) -> Scorer:
    # These modules are imported only if needed, because each of them imports its model's library.
    match spec:
        case ScriptSpec():
            return ScriptScorer(spec)
        case RowsSpec():
            return RowsScorer(spec)
        case OnnxSpec():
            from sparkscore.scorers.onnx import OnnxScorer

            return OnnxScorer(spec)
        case MlflowSpec():
            from sparkscore.scorers.mlflow import MlflowScorer

            return MlflowScorer(spec)
        case FrameworkSpec():
            from sparkscore.scorers.framework import FrameworkScorer

            return FrameworkScorer(spec)
