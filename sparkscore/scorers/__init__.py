"""Scorers: objects that load a model once and score mini-batches (worker).

A scorer is made from a picklable spec, loads on the worker, and is kept there for the rest of the run.
"""

from __future__ import annotations

from typing import Protocol

from sparkscore.minibatch import MiniBatch
from sparkscore.scorers.script import ScriptScorer, ScriptSpec

__all__ = ["Scorer", "ScorerSpec", "ScriptSpec", "load_scorer"]

ScorerSpec = ScriptSpec


class Scorer(Protocol):
    """What the worker's loop needs of a scorer; one contract suite in the tests runs against every implementation."""

    def load(self) -> None:
        """Load the model. Runs on the worker, once per worker process, before the first mini-batch."""

    def score(self, mini_batch: MiniBatch) -> object:
        """Score one mini-batch and give whatever `sparkscore.signature.tabulate` accepts.

        Runs on the worker, once per mini-batch and attempt.
        """

    def close(self) -> None:
        """Give back what `load` took; the scorer is not used again."""


def load_scorer(spec: ScorerSpec) -> Scorer:
    """Make the scorer that a spec describes and load it.

    Runs on the worker, once per worker process.

    Raises:
        ScriptFailedError: the user's code raised while it was loaded.
        ScoringScriptError: the script has no ``run()``.
    """
    scorer = ScriptScorer(spec)
    try:
        scorer.load()
    except BaseException:
        scorer.close()
        raise
    return scorer
