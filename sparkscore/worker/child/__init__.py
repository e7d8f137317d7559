"""Start and stop child processes, and score mini-batches in them. Runs on the workers and in their child processes."""
