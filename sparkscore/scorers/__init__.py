"""Scorers: objects that load a model once and score mini-batches (worker).

A scorer is made from a picklable spec, loads on the worker, and is kept there for the rest of the run.
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
    """What the worker's loop needs of a scorer; one contract suite in the tests runs against every implementation."""

    def load(self) -> None:
        """Load the model. Runs on the worker, once per worker process, before the first mini-batch."""

    def score(self, mini_batch: MiniBatch) -> object:
        """Score one mini-batch and give whatever `sparkscore.returned.tabulate` accepts.

        Runs on the worker, once per mini-batch and attempt.
        """

    def close(self) -> None:
        """Give back what `load` took; the scorer is not used again."""


def load_scorer(spec: ScorerSpec) -> Scorer:
    """Make the scorer that a spec describes and load it.

    Runs on the worker, once per worker process.

    Raises:
        ScorerFailedError: the user's code or model raised while it was loaded.
        SparkscoreError: the script has no ``run()``; the model's files are not those that were resolved.
    """
    scorer = _make_scorer(spec)
    try:
        scorer.load()
    # Whatever it is goes on; an interrupt too must not leave the model's folders behind.
    except BaseException:
        scorer.close()
        raise
    return scorer


def _make_scorer(spec: ScorerSpec) -> Scorer:
    # Imported where they are needed: each takes its model's library with it.
    match spec:
        case ScriptSpec():
            return ScriptScorer(spec)
        case RowsSpec():
            return RowsScorer(spec)
        case OnnxSpec():
            from sparkscore.scorers.onnx import OnnxScorer  # noqa: PLC0415

            return OnnxScorer(spec)
        case MlflowSpec():
            from sparkscore.scorers.mlflow import MlflowScorer  # noqa: PLC0415

            return MlflowScorer(spec)
        case FrameworkSpec():
            from sparkscore.scorers.framework import FrameworkScorer  # noqa: PLC0415

            return FrameworkScorer(spec)
