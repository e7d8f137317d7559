"""Scorers: objects that load a model once and score mini-batches (worker).

A scorer is built from a picklable spec. It loads on the worker and is kept there for the rest of the run.
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
    """The interface of all scorers; the tests in ``tests/contract`` run against each implementation."""

    def load(self) -> None:
        """Load the model. Runs on the worker, once per worker process, before the first mini-batch."""

    def score(self, mini_batch: MiniBatch) -> object:
        """Score one mini-batch and return anything that `sparkscore.returned.tabulate` accepts.

        Runs on the worker, once for each call: a mini-batch that failed may be scored again, whole or in halves.
        """

    def close(self) -> None:
        """Release the model and its files; the scorer is not used afterwards."""


def load_scorer(spec: ScorerSpec) -> Scorer:
    """Build the scorer that a spec describes, and load its model.

    Runs on the worker, once per worker process.

    Raises:
        ScorerFailedError: the user's code or model raised while it was loaded.
        SparkscoreError: the script has no ``run()``, or the model's files are not those that the driver resolved.
    """
    scorer = _make_scorer(spec)
    try:
        scorer.load()
    # Raised again below. An interrupt, too, must not leave the model's folders behind.
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
