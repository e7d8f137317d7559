"""Compute the identity of a run: digests of its input, script, model and configuration. Runs on the driver."""

from __future__ import annotations

from sparkscore.config import hidden_values
from sparkscore.digest import identity_of, keyed_digest
from sparkscore.plan import Plan
from sparkscore.run.per_file import counted_items
from sparkscore.run.prepare import PreparedRun


def identity_of_run(prepared: PreparedRun, plan: Plan) -> str:
    """Return the identity of a run: digests of its input, script, model and configuration.

    If the configuration contains secrets, the identity includes a digest of them. This digest is computed with a random
    key, which is stored in the run's folder.

    Raises:
        LineageError: the key cannot be read or written.
    """
    # Many people may read the record. Without the key, they could find out a short password by trying all
    # possible ones.
    # A job ignores the section about the SQL function, so a comment in it changes no result.
    snapshot, deployment = plan.snapshot, prepared.deployment.model_copy(update={"sql": None})
    counted = counted_items(deployment, snapshot)
    shown = deployment.effective(counted)
    hidden = hidden_values(deployment.whole(counted), shown)
    return identity_of(
        {
            "input": snapshot.version if snapshot.table_id is None else [snapshot.version, snapshot.table_id],
            **prepared.digests(),
            "config": shown,
            **({} if hidden is None else {"secrets": keyed_digest(hidden, prepared.folder.key())}),
        }
    )
