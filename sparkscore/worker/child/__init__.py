"""Start and stop child processes, and score mini-batches in them (worker and child)."""
