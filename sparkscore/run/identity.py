"""The identity of a run: a digest of all that decides its result, secrets included (driver)."""

from __future__ import annotations

from sparkscore.config import hidden_values
from sparkscore.digest import identity_of, keyed_digest
from sparkscore.plan import Plan
from sparkscore.run.per_file import sized_in
from sparkscore.run.prepare import PreparedRun


def identity_of_run(prepared: PreparedRun, plan: Plan) -> str:
    """Give the digest of the values themselves; that of secrets is taken with a key of the run.

    Raises:
        LineageError: the key cannot be read or written.
    """
    # Many people read the record. Without a key, the digest of a short password would tell it to anyone who tries all.
    snapshot, deployment = plan.snapshot, prepared.deployment
    kind = sized_in(deployment, snapshot)
    shown = deployment.effective(kind)
    hidden = hidden_values(deployment.whole(kind), shown)
    return identity_of(
        {
            "input": snapshot.version if snapshot.table_id is None else [snapshot.version, snapshot.table_id],
            **prepared.digests(),
            "config": shown,
            **({} if hidden is None else {"secrets": keyed_digest(hidden, prepared.folder.key())}),
        }
    )
