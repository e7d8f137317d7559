"""Scorers: objects that load a scoring script or a model, and score mini-batches with it (worker).

A scorer is created from a specification, which the driver pickles and sends to the workers. A scorer is loaded once,
before it scores its first mini-batch.
"""

from __future__ import annotations

from typing import Protocol

from sparkscore.minibatch import MiniBatch
from sparkscore.scorers.rows import RowsScorer
from sparkscore.scorers.script import ScriptScorer, ScriptSpec
from sparkscore.scorers.specs import FrameworkSpec, MlflowSpec, OnnxSpec, RowsSpec

__all__ = ["Scorer", "ScorerSpec", "ScriptSpec", "load_scorer"]

ScorerSpec = ScriptSpec | MlflowSpec | FrameworkSpec | OnnxSpec | RowsSpec


class Scorer(Protocol):
    """The interface of all scorers: methods that load a script or model, score mini-batches with it, and release it."""

    def load(self) -> None:
        """Load the script or model. Runs on the worker, before the first mini-batch."""

    def score(self, mini_batch: MiniBatch) -> object:
        """Score one mini-batch, and return the scores, which `sparkscore.returned.tabulate` then converts to a table.

        Runs on the worker. If some or all of the items cannot be scored, a scorer may return a `PartlyScored` instead.
        After a failure, the mini-batch may be scored again, as a whole or in halves.
        """

    def close(self) -> None:
        """Release the script or model. The scorer must not be used afterwards."""


def load_scorer(spec: ScorerSpec) -> Scorer:
    """Create the scorer that a specification describes, load its script or model, and return the scorer.

    Runs on the worker. If loading fails, the scorer is closed.

    Raises:
        ScorerFailedError: the user's code or model raised an exception while it was loaded.
        SparkscoreError: sparkscore itself found an error, for example that the script has no ``run()``, that a package
            is missing, or that the model's files differ from those that the driver found.
    """
    scorer = _make_scorer(spec)
    try:
        scorer.load()
    # The folders of the model must be removed after any exception, even after an interrupt.
    except BaseException:
        scorer.close()
        raise
    return scorer


def _make_scorer(spec: ScorerSpec) -> Scorer:
    # Imported only if needed, because each of these modules imports its model's library.
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
